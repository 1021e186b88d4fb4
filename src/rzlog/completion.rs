//! How shells ask for completions: as clap has it, but for what bash needs besides.

use std::ffi::OsString;
use std::io::{Result, Write};
use std::path::Path;

use clap::Command;
use clap_complete::env::{self, EnvCompleter, Shells};

pub(crate) const SHELLS: Shells<'static> =
    Shells(&[&Bash, &env::Elvish, &env::Fish, &env::Powershell, &env::Zsh]);

/// Bash takes the @ of @profile for a word of its own; here it is put in front of the name again.
struct Bash;

const JOINED: &str = r#"
_rzlog() {
    local words=() at=$COMP_CWORD index
    for index in "${!COMP_WORDS[@]}"; do
        if [[ $index -gt 0 && ${COMP_WORDS[index - 1]} == @ ]]; then
            words[${#words[@]} - 1]=@${COMP_WORDS[index]}
            [[ $index -gt $COMP_CWORD ]] || at=$((at - 1))
        else
            words+=("${COMP_WORDS[index]}")
        fi
    done
    local COMP_WORDS=("${words[@]}") COMP_CWORD=$at
    _clap_complete_rzlog "$@"
}
complete -o nospace -o bashdefault -o nosort -F _rzlog rzlog 2>/dev/null ||
    complete -o nospace -o bashdefault -F _rzlog rzlog
"#;

impl EnvCompleter for Bash {
    fn name(&self) -> &'static str {
        env::Bash.name()
    }

    fn is(&self, name: &str) -> bool {
        env::Bash.is(name)
    }

    fn write_registration(
        &self,
        var: &str,
        name: &str,
        bin: &str,
        completer: &str,
        buf: &mut dyn Write,
    ) -> Result<()> {
        env::Bash.write_registration(var, name, bin, completer, buf)?;
        buf.write_all(JOINED.as_bytes())
    }

    fn write_complete(
        &self,
        cmd: &mut Command,
        args: Vec<OsString>,
        current_dir: Option<&Path>,
        buf: &mut dyn Write,
    ) -> Result<()> {
        env::Bash.write_complete(cmd, args, current_dir, buf)
    }
}
