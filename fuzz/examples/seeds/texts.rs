//! Certificates as czmq and pyzmq write them, with and without mistakes, lists of endpoints, and
//! configurations of rsyslog's.

use crate::Corpus;
use std::error::Error;

// these keys were made for tests and are nobody's
const CZMQ: &str = r#"#   ****  Generated on 2026-11-24 19:19:12 by CZMQ  ****

metadata
    name = "web1 # main"
    email = "a@b"
curve
    public-key = "w6]9pS3Q>*1>&j1G*qo@Hk{/6O.EM}6wVCuQg[{s"
    secret-key = "gE&]$Q4pwiB5l5RDRRu}pX{Fepw*KRnB6<$slRrQ"
"#;
const PYZMQ: &str = r#"#   ****  Generated on 2026-11-24 19:19:23.674320 by pyzmq  ****

metadata
    name = py one
    role = log
curve
    public-key = "MaT]u(P:?XQi{Gc^F.@00@sbewGy+)s}z?rU/i.:"
    secret-key = "GvNI}3uNU2}PGygvAFed1KnX60)$$FH(pZv.Biq1"
"#;

const ENDPOINTS: [&str; 40] = [
    "tcp://*:5140",
    "@tcp://*:1",
    ">tcp://10.0.0.1:65535",
    "tcp://log.example.net:5140",
    " > tcp://a:1 ,@tcp://*:2,\ttcp://c:3\n",
    "@tcp://eth0:5140",
    "@tcp://*:*",
    "@tcp://127.0.0.1:0",
    "tcp://[::1]:5140",
    "tcp://::1:5140",
    "tcp://[fe80::1%eth0]:5140",
    "tcp://10.0.0.9:0;10.0.0.1:5140",
    "tcp://eth1:*;host:5140",
    "ipc:///run/rzmq/in",
    "@ipc://@abstract",
    "@ipc://*",
    "tcp://a_b-c.d:5140,ipc://relative",
    "epgm://eth0;239.192.1.1:5555",
    "tipc://{5560,0}",
    "",
    ",",
    "@",
    "@>tcp://a:1",
    "localhost:5140",
    "tcp://a b:1",
    "tcp://a\0:1",
    "tcp://host",
    "tcp://host:",
    "tcp://host:70000",
    "tcp://host:+5",
    "@tcp://*:!",
    "tcp://256.1.1.1:5140",
    "tcp://[::1:5140",
    "tcp://[fe80::1%]:5140",
    "tcp://h\u{f6}st\u{2028}:5140",
    "@tcp://10.0.0.9:0;10.0.0.1:1",
    "tcp://a:0;b:0;c:1",
    "inproc://x",
    "udp://a:1",
    "TCP://a:1",
];

const CONFIGURATIONS: [(&str, &str); 12] = [
    ("module and action", "module(load=\"omczmq\")\naction(type=\"omczmq\" socktype=\"PUSH\")\n"),
    ("array and escapes", "a(b=[\"1\", # 2\n \"3\\\"\\101\\x41\"] c=`echo $X`)"),
    ("goes on", "# x \\\n  y\naction(ty\\\n  pe=\"x\")\r\n"),
    ("blocks", "ruleset(name=\"r\") { if $msg == 'x' then { action(type=\"x\") } else stop }"),
    (
        "expression",
        "set $.a = \"/* \" & '# then ' & re_match($msg, \"a\"); foreach ($.i in $!x) do { stop }",
    ),
    ("comments", "/* a */ action(/* ) */ a=\"#\" # )\n) # b\n"),
    ("filters", ":msg, !contains, \"a\\\"b\" stop\n*.info;mail.none -/var/log/x\n& ~\n"),
    ("selectors", "!prog\n+host\n-host\n*.* @@host:514;fmt\n*.* |/run/pipe\n*.* ^/bin/x\n"),
    ("directives", "$ModLoad imtcp\n$template t,\"%msg%\\n\"\n$IncludeConfig\n /etc/*.conf\n"),
    ("calls", "call r\nreload_lookup_table(\"t\", 'x)')\nroot,alice\n"),
    ("not closed", "action(type=\"x\" b=[\"c\" d=\"e"),
    ("nul", "# a\0\naction\0(type=\"x\")"),
];

pub fn write() -> Result<(), Box<dyn Error>> {
    let mut zpl = Corpus::new("zpl");
    let mut certificate = Corpus::new("certificate");
    let public = "    public-key = \"w6]9pS3Q>*1>&j1G*qo@Hk{/6O.EM}6wVCuQg[{s\"\n";
    for (title, text) in [
        ("czmq", CZMQ.to_owned()),
        ("pyzmq", PYZMQ.to_owned()),
        ("lines of another system", PYZMQ.replace('\n', "\r\n")),
        ("a byte order mark", format!("\u{feff}{CZMQ}")),
        ("without quotes", CZMQ.replace('"', "")),
        ("single quotes", CZMQ.replace('"', "'")),
        ("tabs", CZMQ.replace("    ", "\t")),
        (
            "public alone",
            CZMQ.lines().filter(|line| !line.contains("secret")).collect::<Vec<_>>().join("\n"),
        ),
        ("secret alone", CZMQ.replace(public, "")),
        ("no name", CZMQ.replace("    name = \"web1 # main\"\n", "")),
        (
            "another pair",
            CZMQ.replace(
                "w6]9pS3Q>*1>&j1G*qo@Hk{/6O.EM}6wVCuQg[{s",
                "MaT]u(P:?XQi{Gc^F.@00@sbewGy+)s}z?rU/i.:",
            ),
        ),
        ("public twice", CZMQ.replace(public, &public.repeat(2))),
        ("no section", CZMQ.replace("curve\n", "")),
        ("not indented", CZMQ.replace("    public", "public")),
        ("a key cut short", CZMQ.replace("$slRrQ", "")),
        ("a character that is none", CZMQ.replace("w6]9", "w6~9")),
        ("too large for 32 bits", CZMQ.replace("w6]9p", "#####")),
        ("an open quote", CZMQ.replace("$slRrQ\"", "$slRrQ")),
        ("behind the quote", CZMQ.replace("main\"", "main\" b")),
        ("a key of another format", "-----BEGIN PRIVATE KEY-----\n".to_owned()),
        (
            "nested",
            "curve\n    public-key = bare # c\n    nested\n        x = '\"'\ntop = 1\n y="
                .to_owned(),
        ),
        ("nothing", String::new()),
    ] {
        zpl.add(title, text.as_bytes())?;
        certificate.add(title, text.as_bytes())?;
    }
    zpl.add("a key alone", b"HelloWorldHelloWorldHelloWorldHelloWorld")?;
    zpl.add("a name of another encoding", b"metadata\n    name = \"h\xf6st\"\n")?;
    certificate.add(
        "a name of another encoding",
        &[b"metadata\n    name = \"h\xf6st\"\ncurve\n", public.as_bytes()].concat(),
    )?;
    let mut endpoints = Corpus::new("endpoints");
    for (number, text) in ENDPOINTS.iter().enumerate() {
        endpoints.add(&format!("{number:02} {text}"), text.as_bytes())?;
    }
    let mut scan = Corpus::new("scan");
    for (title, text) in CONFIGURATIONS {
        scan.add(title, text.as_bytes())?;
    }
    Ok(())
}
