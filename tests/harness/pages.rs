//! The documentation as the tests see it: pages, their fenced blocks, and a stage on which an example
//! can run. CONTRIBUTING.md, "Documentation", has the conventions.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::paths::repository;
use crate::ports::free_port;
use crate::site::Site;

/// A fenced block.
pub struct Block {
    page: PathBuf,
    line: usize,
    /// The words behind the fence.
    pub words: Vec<String>,
    /// What it holds.
    pub text: String,
}

impl Block {
    /// Whether these are its words.
    pub fn is(&self, words: &[&str]) -> bool {
        self.words == words
    }

    /// Modules that it loads and that are not ours.
    pub fn foreign_modules(&self) -> impl Iterator<Item = &str> {
        let names = self.text.split("load=\"").skip(1).filter_map(|rest| rest.split('"').next());
        names.filter(|name| !["imrzmq", "omrzmq"].contains(name))
    }

    /// Page and line, for people.
    pub fn place(&self) -> String {
        format!("{}:{}", self.page.display(), self.line)
    }
}

/// A page: its fenced blocks, and the rest.
pub struct Page {
    /// Below the repository.
    pub path: PathBuf,
    /// Numbered lines outside of blocks.
    pub prose: Vec<(usize, String)>,
    /// Its blocks.
    pub blocks: Vec<Block>,
}

impl Page {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let path = path.strip_prefix(repository()).expect("below the root");
        let mut page = Page { path: path.to_owned(), prose: Vec::new(), blocks: Vec::new() };
        let mut open = false;
        for (number, line) in text.lines().enumerate() {
            match line.strip_prefix("```") {
                Some(_) if open => open = false,
                Some(info) => {
                    open = true;
                    page.blocks.push(Block {
                        page: path.to_owned(),
                        line: number + 1,
                        words: info.split_whitespace().map(str::to_owned).collect(),
                        text: String::new(),
                    });
                }
                None if open => {
                    let block = page.blocks.last_mut().expect("a block is open");
                    block.text.push_str(line);
                    block.text.push('\n');
                }
                None => page.prose.push((number + 1, line.to_owned())),
            }
        }
        assert!(!open, "{}: a block is not closed", path.display());
        page
    }

    /// The text of the block with these words.
    #[track_caller]
    pub fn block(&self, words: &[&str]) -> &str {
        let block = self.blocks.iter().find(|block| block.is(words));
        &block.unwrap_or_else(|| panic!("{} has no block {words:?}", self.path.display())).text
    }

    /// The heading that a block stands below.
    pub fn heading_of(&self, block: &Block) -> &str {
        let above = self.prose.iter().take_while(|(number, _)| *number < block.line);
        let heading = above.filter(|(_, line)| line.starts_with('#')).last();
        heading.map_or("", |(_, line)| line)
    }

    /// The lines of a section, its subsections included.
    pub fn section(&self, heading: &str) -> Vec<&str> {
        let level = heading.chars().take_while(|c| *c == '#').count();
        let ends = |line: &str| {
            let marks = line.chars().take_while(|c| *c == '#').count();
            (1..=level).contains(&marks)
        };
        let lines = self.prose.iter().map(|(_, line)| line.as_str());
        let section: Vec<_> = lines
            .skip_while(|line| *line != heading)
            .skip(1)
            .take_while(|line| !ends(line))
            .collect();
        assert!(!section.is_empty(), "{}: no \"{heading}\"", self.path.display());
        section
    }
}

/// Every page that people read.
pub fn pages() -> Vec<Page> {
    let top = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"];
    let mut paths: Vec<_> = top
        .iter()
        .chain(&["packaging/compose/README.md"])
        .map(|name| repository().join(name))
        .collect();
    for folder in ["docs", "docs/reference"] {
        let entries = fs::read_dir(repository().join(folder)).expect(folder);
        let files = entries.map(|entry| entry.expect(folder).path());
        paths.extend(files.filter(|path| path.extension().is_some_and(|it| it == "md")));
    }
    paths.iter().map(|path| Page::read(path)).collect()
}

/// One of them.
pub fn page(name: &str) -> Page {
    Page::read(&repository().join(name))
}

/// What stands in single backticks.
pub fn code_spans(line: &str) -> Vec<&str> {
    line.split('`').skip(1).step_by(2).collect()
}

/// An example with its placeholders replaced.
pub struct Stage {
    /// Instead of /etc/rsyslog-rzmq.
    pub keys: PathBuf,
    /// Instead of /var/log.
    pub log: PathBuf,
    ports: [u16; 3],
}

impl Stage {
    /// In a scratch folder, with the keys that README.md makes.
    pub fn set(site: &Site) -> Self {
        let stage = Stage {
            keys: site.path("keys"),
            log: site.path("log"),
            ports: [free_port(), free_port(), free_port()],
        };
        let script = stage.fill(page("README.md").block(&["sh", "keys"]));
        let output = Command::new("sh")
            .args(["-euc", &script])
            .current_dir(repository())
            .output()
            .expect("sh runs");
        assert!(output.status.success(), "{script}\n{output:?}");
        stage
    }

    /// The text with its placeholders replaced.
    pub fn fill(&self, text: &str) -> String {
        let [first, second, third] = self.ports;
        text.replace("/etc/rsyslog-rzmq", &self.keys.display().to_string())
            .replace("/var/log", &self.log.display().to_string())
            .replace("archive.example.org", "127.0.0.1")
            .replace("tcp://*:", "tcp://127.0.0.1:")
            .replace(":5140", &format!(":{first}"))
            .replace(":5141", &format!(":{second}"))
            .replace(":9200", &format!(":{third}"))
    }

    /// README's block `rsyslog NAME`.
    pub fn example(&self, name: &str) -> String {
        self.fill(page("README.md").block(&["rsyslog", name]))
    }
}
