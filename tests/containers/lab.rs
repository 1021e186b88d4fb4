//! One case's network and hosts. All of it goes when the lab is dropped; scripts/test-containers removes
//! by the run's label what a killed test leaves.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use harness::Keys;

use crate::docker::{compose, try_docker};
use crate::host::Host;

/// The port that receivers have in their own container.
pub const PORT: u16 = 5140;

/// The name on the key that all receivers hold.
pub const ARCHIVE: &str = "archive";

/// A network with hosts.
pub struct Lab {
    name: String,
    run: String,
    folder: PathBuf,
    archive: Keys,
    /// How the addresses of the network begin.
    net: String,
    /// The image of each service that has been started, by the variable's name in compose.yml.
    images: RefCell<BTreeMap<String, String>>,
}

impl Lab {
    /// An empty network of its own.
    pub fn new() -> Self {
        static LABS: AtomicU32 = AtomicU32::new(0);
        let run = std::env::var("RZMQ_RUN").expect("scripts/test-containers names the run");
        let name = format!("{run}-{}", LABS.fetch_add(1, Ordering::Relaxed));
        let base = std::env::var("RZMQ_FOLDER").expect("scripts/test-containers makes a folder");
        let folder = PathBuf::from(base).join(&name);
        std::fs::create_dir(&folder).expect("folder of the lab");
        let net = make_network(&name, &run);
        let (archive, images) = (Keys::new(ARCHIVE), RefCell::default());
        Lab { name, run, folder, archive, net, images }
    }

    /// A host of the topology; `image` is a suite with the packages, or `SUITE-stock` without. It has a key and
    /// knows the archive, which knows it once [`Lab::introduce`] was called.
    pub fn host(&self, name: &str, image: &str) -> Host<'_> {
        let folder = self.folder.join(name);
        std::fs::create_dir_all(folder.join("work")).expect("work directory");
        let keys = Keys::new(name);
        keys.write(&folder.join("keys"));
        match name.starts_with("receiver") {
            true => self.archive.write(&folder.join("keys")),
            false => self.archive.write_public(&folder.join("keys")),
        };
        Host::new(self, name, image, folder, keys)
    }

    /// Lets `guests` into `host`.
    pub fn introduce(&self, host: &Host, guests: &[&Host]) {
        for guest in guests {
            guest.keys().write_public(&host.path("allowed"));
            host.keys().write_public(&guest.path("keys"));
        }
    }

    /// The network's name.
    pub fn network(&self) -> &str {
        &self.name
    }

    /// A container's name.
    pub fn container(&self, host: &str) -> String {
        format!("{}-{host}", self.name)
    }

    /// Starts these hosts' containers, new ones where there are none.
    pub fn up(&self, hosts: &[(&str, &str)]) {
        for (host, image) in hosts {
            let variable = host.to_uppercase().replace('-', "_");
            let image = match image.strip_suffix("-stock") {
                Some(suite) => format!("rzmq-stock:{suite}"),
                None => format!("{}:{image}", self.run),
            };
            self.images.borrow_mut().insert(variable, image);
        }
        let user = rustix::process::getuid().as_raw();
        let group = rustix::process::getgid().as_raw();
        let mut environment = vec![
            ("RZMQ_LAB".to_owned(), self.name.clone()),
            ("RZMQ_RUN".to_owned(), self.run.clone()),
            ("RZMQ_FOLDER".to_owned(), self.folder.display().to_string()),
            ("RZMQ_NET".to_owned(), self.net.clone()),
            ("RZMQ_USER".to_owned(), format!("{user}:{group}")),
        ];
        environment.extend(self.images.borrow().clone());
        let mut arguments = vec!["-p", &self.name, "up", "-d", "--no-deps", "--no-build"];
        arguments.extend(hosts.iter().map(|(host, _)| *host));
        compose(&environment, &arguments);
    }

    fn containers(&self) -> Vec<String> {
        let filter = format!("name=^/?{}-", self.name);
        let ids = try_docker(&["ps", "-aq", "--filter", &filter]).unwrap_or_default();
        ids.lines().map(str::to_owned).collect()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for container in self.containers() {
            if std::thread::panicking() {
                let name =
                    try_docker(&["inspect", "-f", "{{.Name}} {{.Config.Image}}", &container]);
                let log = try_docker(&["logs", "--tail", "30", &container]);
                eprintln!("--- {}\n{}", name.unwrap_or_default(), log.unwrap_or_default());
            }
            let _ = try_docker(&["rm", "-f", "-v", &container]);
        }
        let _ = try_docker(&["network", "rm", &self.name]);
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Makes a network with addresses that a host can get back after a cut; the answer is how they begin. Which are
/// free is known only by trying.
fn make_network(name: &str, run: &str) -> String {
    let label = format!("rzmq.run={run}");
    let first = process::id() as usize;
    let free = (0..50).find_map(|attempt| {
        let number = (first * 7 + attempt * 13) % 4096;
        let net = format!("10.{}.{}", 200 + number / 256, number % 256);
        let (subnet, range) = (format!("{net}.0/24"), format!("{net}.128/25"));
        let place = ["--label", &label, "--subnet", &subnet, "--ip-range", &range, name];
        try_docker(&[&["network", "create"], &place[..]].concat()).map(|_| net)
    });
    free.expect("no free addresses for a network of Docker")
}

/// Where a receiver is to be found by its name.
pub fn endpoint(receiver: &str) -> String {
    format!("tcp://{receiver}:{PORT}")
}
