use std::fs;
use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::*;
use crate::certificate;

/// A folder with keys/server, keys/server_secret, keys/client…, empty/, broken/.
fn keys() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["empty", "broken", "clients"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    fs::write(folder.path().join("broken/x"), "nonsense here").unwrap();
    fs::write(folder.path().join("clients/x"), "nonsense here").unwrap();
    for name in ["server", "client"] {
        let pair = certificate::generate().unwrap();
        let public = format!("curve\n    public-key = \"{}\"\n", pair.public);
        let secret = crate::z85::encode(pair.secret());
        let secret = format!("{public}    secret-key = \"{}\"\n", String::from_utf8_lossy(&secret));
        let path = folder.path().join(name);
        fs::write(&path, &public).unwrap();
        let secret_path = folder.path().join(format!("{name}_secret"));
        fs::write(&secret_path, secret).unwrap();
        fs::set_permissions(secret_path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(folder.path().join("clients").join(name), public).unwrap();
    }
    folder
}

fn read(
    folder: &TempDir,
    authtype: Option<&str>,
    authenticator: Option<bool>,
    server: Option<&str>,
    client: Option<&str>,
) -> Result<Security, String> {
    let full = |path: Option<&str>| {
        path.map(|path| match path {
            "" | "*" => path.to_owned(),
            name => folder.path().join(name).display().to_string(),
        })
    };
    let (server, client) = (full(server), full(client));
    Security::from_settings(&SecuritySettings {
        authtype,
        authenticator,
        servercertpath: server.as_deref(),
        clientcertpath: client.as_deref(),
        allowednames: None,
    })
    .map_err(|error| error.to_string())
}

#[test]
fn names_choose_among_the_certificates_of_a_folder_and_nothing_else() {
    let f = keys();
    let path = |name: &str| match name {
        "*" => name.to_owned(),
        name => f.path().join(name).display().to_string(),
    };
    let read = |authtype, clients: &str, names| {
        Security::from_settings(&SecuritySettings {
            authtype,
            servercertpath: authtype.map(|_| path("server")).as_deref(),
            clientcertpath: authtype.map(|_| path(clients)).as_deref(),
            allowednames: Some(names),
            ..SecuritySettings::default()
        })
    };
    let (server, client) = (Some("CURVESERVER"), Some("CURVECLIENT"));
    for (names, count) in [("cl*", 1), ("SERVER", 1), ("client,server", 2), ("*", 2)] {
        let security = read(server, "clients", names);
        let Ok(Security::Server { allowed: Allowed::Folder(list), .. }) = security else {
            panic!("{security:?}");
        };
        assert_eq!(list.len(), count, "{names}");
    }
    assert!(read(server, "*", "*").is_ok() && read(client, "client", "*").is_ok());
    for (authtype, clients, names, part) in [
        (server, "clients", "", "an empty name in it"),
        (server, "clients", "nobody", "fits allowednames=\"nobody\""),
        (server, "*", "web", "needs authtype=\"CURVESERVER\" and a directory"),
        (client, "client", "web", "needs authtype=\"CURVESERVER\" and a directory"),
        (None, "clients", "web", "allowednames is given, but authtype is not"),
    ] {
        let error = read(authtype, clients, names).unwrap_err().to_string();
        assert!(error.contains(part), "wanted {part:?}: {error}");
    }
}

#[test]
fn what_is_right() {
    let f = keys();
    for authenticator in [None, Some(false)] {
        assert!(matches!(read(&f, None, authenticator, None, None), Ok(Security::Plaintext)));
    }
    for authtype in ["CURVESERVER", "curveserver", "CurveServer"] {
        for authenticator in [None, Some(true)] {
            let security = read(&f, Some(authtype), authenticator, Some("server"), Some("clients"));
            let Ok(Security::Server { allowed: Allowed::Folder(list), .. }) = security else {
                panic!("{security:?}");
            };
            assert_eq!((list.len(), list.broken().len()), (2, 1));
        }
    }
    for authenticator in [None, Some(true), Some(false)] {
        let any = read(&f, Some("CURVESERVER"), authenticator, Some("server"), Some("*"));
        assert!(matches!(any, Ok(Security::Server { allowed: Allowed::Any, .. })));
        let client = read(&f, Some("curveclient"), authenticator, Some("server"), Some("client"));
        assert!(matches!(client, Ok(Security::Client { .. })));
    }
    let fresh = || match read(&f, Some("CURVECLIENT"), None, Some("server"), Some("*")) {
        Ok(Security::Client { own, .. }) => own.pair().public,
        other => panic!("{other:?}"),
    };
    assert_ne!(fresh(), fresh());
}

#[test]
fn what_is_wrong_is_an_error_and_never_plaintext() {
    let f = keys();
    let (server, client) = (Some("CURVESERVER"), Some("CURVECLIENT"));
    let (on, off) = (Some(true), Some(false));
    type Row<'a> = (Option<&'a str>, Option<bool>, Option<&'a str>, Option<&'a str>, &'a str);
    let rows: &[Row<'_>] = &[
        (
            Some("CURVE"),
            None,
            None,
            None,
            "authtype=\"CURVE\" is not known; possible: CURVESERVER, CURVECLIENT",
        ),
        (Some(""), None, None, None, "authtype=\"\" is not known"),
        (None, None, Some("server"), None, "servercertpath is given, but authtype is not"),
        (None, None, None, Some("*"), "clientcertpath is given, but authtype is not"),
        (None, on, None, None, "authenticator=\"on\" is given, but authtype is not"),
        (
            server,
            None,
            None,
            Some("clients"),
            "needs servercertpath: the file of this server's own key",
        ),
        (server, on, None, Some("clients"), "needs servercertpath"),
        (server, None, Some(""), Some("clients"), "needs servercertpath"),
        (server, None, Some("server"), None, "needs clientcertpath: the directory of the allowed"),
        (server, on, Some("server"), Some(""), "needs clientcertpath"),
        (server, off, Some("server"), Some("clients"), "authenticator=\"off\" beside"),
        (server, None, Some("*"), Some("clients"), "servercertpath=\"*\": a server needs a key"),
        (server, None, Some("none"), Some("clients"), "none: cannot be read: No such file"),
        (server, None, Some("clients/server"), Some("clients"), "holds no secret-key"),
        (server, None, Some("clients"), Some("clients"), "is a directory, not a certificate"),
        (server, None, Some("server"), Some("empty"), "holds no usable certificate, so nobody"),
        (server, None, Some("server"), Some("broken"), "there; "),
        (server, None, Some("server"), Some("none"), "none: cannot be read: No such file"),
        (server, None, Some("server"), Some("server"), "server is not a directory"),
        (client, None, None, Some("client"), "needs servercertpath: the file of the server's"),
        (client, None, Some("server"), None, "needs clientcertpath: the file of this client's"),
        (client, None, Some("*"), Some("client"), "a client must know its server's key"),
        (client, None, Some("none"), Some("client"), "servercertpath=\""),
        (client, None, Some("server"), Some("none"), "clientcertpath=\""),
        (client, None, Some("server"), Some("clients/client"), "holds no secret-key"),
    ];
    for (authtype, authenticator, server, client, part) in rows {
        let error = read(&f, *authtype, *authenticator, *server, *client)
            .expect_err(&format!("{authtype:?} {authenticator:?} {server:?} {client:?}"));
        assert!(error.contains(part), "wanted {part:?}: {error}");
    }
}
