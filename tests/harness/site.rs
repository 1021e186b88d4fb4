//! One host: a scratch folder and a configuration made of parts. A site can be started, stopped and
//! started again; what it keeps on disk stays until the site is dropped.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::check::Check;
use crate::flavour::Flavour;
use crate::paths;
use crate::rsyslogd::Rsyslogd;
use crate::valgrind::Valgrind;

/// The files of one host.
pub struct Scratch {
    folder: tempfile::TempDir,
}

impl Scratch {
    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// A host in the making.
pub struct Site {
    pub(crate) scratch: Arc<Scratch>,
    flavour: Flavour,
    modules: PathBuf,
    globals: Vec<String>,
    parts: Vec<String>,
    feed: Option<String>,
    work_directory: bool,
    statistics: String,
    resets_counters: bool,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) valgrind: Option<Valgrind>,
    pub(crate) netlink: bool,
}

impl Site {
    /// A host with the modules under test, an imptcp feed into the main ruleset, and impstats.
    pub fn new() -> Self {
        Self::of(Flavour::under_test())
    }

    /// A host with a certain pair of modules.
    pub fn of(flavour: Flavour) -> Self {
        let folder = tempfile::Builder::new().prefix("rzmq-").tempdir().expect("scratch folder");
        let scratch = Scratch { folder };
        fs::create_dir(scratch.path("work")).expect("work directory");
        Site {
            scratch: Arc::new(scratch),
            flavour,
            modules: paths::modules(),
            globals: Vec::new(),
            parts: Vec::new(),
            feed: Some(String::new()),
            work_directory: true,
            statistics: "json".to_owned(),
            resets_counters: false,
            environment: Vec::new(),
            valgrind: None,
            netlink: true,
        }
    }

    /// A sender: `module` are the module's parameters, `action` the action's.
    pub fn sender(module: &str, action: &str) -> Self {
        Site::new().sending(module, action)
    }

    /// A receiver that writes each line's text to `out.log`.
    pub fn receiver(module: &str, input: &str) -> Self {
        Site::new().receiving(module, input)
    }

    /// Adds the output module and one action that takes every line.
    pub fn sending(self, module: &str, action: &str) -> Self {
        self.with(&format!("module(load=\"omrzmq\" {module})"))
            .with(&format!("action(type=\"omrzmq\" {action})"))
    }

    /// Adds the input module, one input, and a file that gets each line's text.
    pub fn receiving(self, module: &str, input: &str) -> Self {
        self.with(&format!("module(load=\"imrzmq\" {module})"))
            .with(&format!("input(type=\"imrzmq\" {input})"))
            .file("out.log", TEXT)
    }

    /// An action that writes lines to a file of the scratch folder in this format.
    pub fn file(self, name: &str, format: &str) -> Self {
        let action = self.file_action(name);
        self.file_template(name, format).with(&action)
    }

    /// The template that [`Site::file_action`] uses.
    pub fn file_template(self, name: &str, format: &str) -> Self {
        let template = template_of(name);
        self.with(&format!("template(name=\"{template}\" type=\"string\" string=\"{format}\")"))
    }

    /// The text of an action that writes to a file of the scratch folder, for use in a ruleset.
    pub fn file_action(&self, name: &str) -> String {
        let template = template_of(name);
        let path = self.path(name);
        format!("action(type=\"omfile\" file=\"{}\" template=\"{template}\")", path.display())
    }

    /// Adds the input module, and a ruleset `remote` that writes each line's text to `out.log`:
    /// `ruleset` are its parameters, `input` those of the one input that is bound to it.
    pub fn receiving_in_ruleset(self, ruleset: &str, input: &str) -> Self {
        let action = self.file_action("out.log");
        self.file_template("out.log", TEXT)
            .with("module(load=\"imrzmq\")")
            .with(&format!("ruleset(name=\"remote\" {ruleset}) {{ {action} }}"))
            .with(&format!("input(type=\"imrzmq\" ruleset=\"remote\" {input})"))
    }

    /// Adds to the configuration, in order.
    pub fn with(mut self, part: &str) -> Self {
        self.parts.push(part.to_owned());
        self
    }

    /// Adds a `global(…)` statement; these stand first.
    pub fn global(mut self, parameters: &str) -> Self {
        self.globals.push(parameters.to_owned());
        self
    }

    /// Forgets what `with` and `global` said: another configuration in the same folder.
    pub fn anew(mut self) -> Self {
        self.parts.clear();
        self.globals.clear();
        self
    }

    /// No global(workDirectory=…).
    pub fn without_work_directory(mut self) -> Self {
        self.work_directory = false;
        self
    }

    /// impstats in another format, which the harness does not read.
    pub fn statistics(mut self, format: &str) -> Self {
        self.statistics = format.to_owned();
        self
    }

    /// Counters begin anew with each report.
    pub fn resetting_counters(mut self) -> Self {
        self.resets_counters = true;
        self
    }

    /// No imptcp feed.
    pub fn without_feed(mut self) -> Self {
        self.feed = None;
        self
    }

    /// Parameters for the feed's input, such as a ruleset.
    pub fn feed_parameters(mut self, parameters: &str) -> Self {
        self.feed = Some(parameters.to_owned());
        self
    }

    /// Loads our modules from another folder.
    pub fn modules_from(mut self, folder: PathBuf) -> Self {
        self.modules = folder;
        self
    }

    /// Sets a variable in the daemon's environment.
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Runs the daemon as a service that may not ask for the host's addresses, which the unit of Debian
    /// trixie and later is.
    pub fn without_netlink(mut self) -> Self {
        self.netlink = false;
        self
    }

    /// Runs the daemon below valgrind.
    pub fn valgrind(mut self, valgrind: Valgrind) -> Self {
        self.valgrind = Some(valgrind);
        self
    }

    /// A path in the scratch folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.scratch.path(name)
    }

    /// rsyslog's work directory.
    pub fn work(&self) -> PathBuf {
        self.path("work")
    }

    /// The socket of the feed.
    pub(crate) fn feed_socket(&self) -> Option<PathBuf> {
        self.feed.is_some().then(|| self.path("feed.sock"))
    }

    /// The spools in the work directory, without what was set aside.
    pub fn spools(&self) -> Vec<PathBuf> {
        let mut spools: Vec<PathBuf> = fs::read_dir(self.work())
            .expect("work directory")
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "spool"))
            .collect();
        spools.sort();
        spools
    }

    /// The configuration as rsyslogd reads it.
    pub fn config(&self) -> String {
        let mut text = String::new();
        let mut line = |part: &str| {
            text.push_str(part);
            text.push('\n');
        };
        if self.work_directory {
            line(&format!("global(workDirectory=\"{}\")", self.work().display()));
        }
        for parameters in &self.globals {
            line(&format!("global({parameters})"));
        }
        line(&format!(
            "module(load=\"impstats\" interval=\"1\" format=\"{}\" log.syslog=\"off\" \
             log.file=\"{}\" {})",
            self.statistics,
            self.path("stats.json").display(),
            if self.resets_counters { "resetCounters=\"on\"" } else { "" }
        ));
        if let (Some(socket), Some(parameters)) = (self.feed_socket(), &self.feed) {
            line("module(load=\"imptcp\")");
            line(&format!("input(type=\"imptcp\" path=\"{}\" {parameters})", socket.display()));
        }
        for part in &self.parts {
            line(part);
        }
        self.flavour.translate(&text)
    }

    /// Writes the configuration; the answer is its path.
    pub(crate) fn write_config(&self) -> PathBuf {
        let path = self.path("rsyslog.conf");
        fs::write(&path, self.config()).expect("configuration written");
        path
    }

    /// What `-M` gets.
    pub(crate) fn module_path(&self) -> String {
        paths::module_path(&self.modules)
    }

    /// Fails with a sentence when there is nothing to load.
    pub(crate) fn need_modules(&self) {
        if self.flavour == Flavour::Czmq {
            let module = paths::stock_modules().join("omczmq.so");
            assert!(module.exists(), "{} is missing: install rsyslog-czmq", module.display());
            return;
        }
        for name in ["imrzmq.so", "omrzmq.so"] {
            let module = self.modules.join(name);
            assert!(module.exists(), "{} is missing: run `make build` first", module.display());
        }
    }

    /// Starts rsyslogd and waits until it is ready.
    pub fn start(&self) -> Rsyslogd {
        Rsyslogd::start(self)
    }

    /// rsyslogd's own check of the configuration (`-N1`).
    pub fn check(&self) -> Check {
        Check::run(self)
    }

    /// The text of a file in the scratch folder as lines; a file that is not there has none.
    pub fn lines(&self, name: &str) -> Vec<String> {
        lines_of(&self.path(name))
    }
}

impl Default for Site {
    fn default() -> Self {
        Self::new()
    }
}

/// omfile's format for a line's text.
const TEXT: &str = "%msg:::drop-last-lf%\\n";

/// The template's name for a file.
fn template_of(file: &str) -> String {
    file.replace(['.', '-', '/'], "_")
}

/// The complete lines of a file.
pub(crate) fn lines_of(path: &Path) -> Vec<String> {
    let bytes = fs::read(path).unwrap_or_default();
    let end = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    String::from_utf8_lossy(&bytes[..end]).lines().map(str::to_owned).collect()
}
