//! `Kconfig` files → what each kernel option is: type, prompt, place, conditions; enough to explain a setting.

use std::collections::{BTreeMap, BTreeSet};

/// The type of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionKind {
    /// `y` or `n`.
    Bool,
    /// `y`, `m` or `n`.
    Tristate,
    /// A decimal number.
    Int,
    /// A hexadecimal number.
    Hex,
    /// Text.
    String,
    /// A definition that adds to another one and says no type.
    Unknown,
}

/// One `config` entry; an option may have several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// `file:line`.
    pub place: String,
    /// Its type.
    pub kind: OptionKind,
    /// What menus show; without one nobody can set the option.
    pub prompt: Option<String>,
    /// When the prompt is shown, beyond the dependencies.
    pub prompt_if: Option<String>,
    /// `depends on`, of the entry and of every menu and `if` around it.
    pub depends: Vec<String>,
    /// `default`, with its condition.
    pub defaults: Vec<String>,
    /// `select` and `imply`: option and condition.
    pub selects: Vec<(String, Option<String>)>,
}

/// Every option of a kernel tree, by its name without `CONFIG_`.
#[derive(Clone, Debug, Default)]
pub struct Options {
    by_name: BTreeMap<String, Vec<Definition>>,
    selected_by: BTreeMap<String, BTreeSet<(String, Option<String>)>>,
}

impl Options {
    /// Reads `top` and everything that it sources; `read` returns a file's text, `arch` stands for `$(SRCARCH)`.
    pub fn read(top: &str, arch: &str, read: &dyn Fn(&str) -> Option<String>) -> Options {
        let mut parser = Parser { options: Options::default(), read, arch, around: Vec::new() };
        parser.file(top, 0);
        let mut options = parser.options;
        for (name, definitions) in &options.by_name {
            for (selected, condition) in definitions.iter().flat_map(|d| &d.selects) {
                let by = options.selected_by.entry(selected.clone()).or_default();
                by.insert((name.clone(), condition.clone()));
            }
        }
        options
    }

    /// The definitions of an option.
    pub fn get(&self, name: &str) -> &[Definition] {
        self.by_name.get(name).map_or(&[], Vec::as_slice)
    }

    /// Its type.
    pub fn kind(&self, name: &str) -> OptionKind {
        let kinds = self.get(name).iter().map(|d| d.kind);
        kinds.into_iter().find(|kind| *kind != OptionKind::Unknown).unwrap_or(OptionKind::Unknown)
    }

    /// True when a person can set it somewhere.
    pub fn has_prompt(&self, name: &str) -> bool {
        self.get(name).iter().any(|d| d.prompt.is_some())
    }

    /// The options that select it, each with its condition.
    pub fn selected_by(&self, name: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.selected_by.get(name).into_iter().flatten().map(|(by, condition)| (by.as_str(), condition.as_deref()))
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }
}

/// True when a condition holds; `value` knows every option. What is not understood holds.
pub fn holds(condition: &str, value: &dyn Fn(&str) -> String) -> bool {
    let tokens = tokens(condition);
    let mut at = 0;
    any(&tokens, &mut at, value)
}

/// The options that a condition mentions.
pub fn mentioned(condition: &str) -> Vec<String> {
    let is_name = |word: &String| {
        word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && word.chars().any(|c| c.is_ascii_uppercase())
    };
    tokens(condition).into_iter().filter(is_name).collect()
}

fn any(tokens: &[String], at: &mut usize, value: &dyn Fn(&str) -> String) -> bool {
    let mut result = all(tokens, at, value);
    while tokens.get(*at).is_some_and(|token| token == "||") {
        *at += 1;
        result |= all(tokens, at, value);
    }
    result
}

fn all(tokens: &[String], at: &mut usize, value: &dyn Fn(&str) -> String) -> bool {
    let mut result = one(tokens, at, value);
    while tokens.get(*at).is_some_and(|token| token == "&&") {
        *at += 1;
        result &= one(tokens, at, value);
    }
    result
}

fn one(tokens: &[String], at: &mut usize, value: &dyn Fn(&str) -> String) -> bool {
    let Some(token) = tokens.get(*at) else { return true };
    *at += 1;
    match token.as_str() {
        "!" => return !one(tokens, at, value),
        "(" => {
            let result = any(tokens, at, value);
            *at += 1;
            return result;
        }
        _ => {}
    }
    let text = |token: &str| match token {
        "y" | "m" | "n" => token.to_owned(),
        quoted if quoted.starts_with('"') => quoted.trim_matches('"').to_owned(),
        number if number.starts_with(|c: char| c.is_ascii_digit()) => number.to_owned(),
        name => value(name).trim_matches('"').to_owned(),
    };
    let compare = tokens.get(*at).filter(|next| ["=", "!="].contains(&next.as_str()));
    if let (Some(relation), Some(other)) = (compare, tokens.get(*at + 1)) {
        *at += 2;
        return (text(token) == text(other)) == (relation == "=");
    }
    if tokens.get(*at).is_some_and(|next| ["<", ">", "<=", ">="].contains(&next.as_str())) {
        // Versions of compilers: known to the kernel's own tools only.
        *at += 2;
        return true;
    }
    // A call such as $(success,...) is theirs as well.
    token.starts_with("$(") || !["n", ""].contains(&text(token).as_str())
}

fn tokens(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let start = at;
        match chars[at] {
            c if c.is_whitespace() => {
                at += 1;
                continue;
            }
            '"' => {
                at += 1;
                while at < chars.len() && chars[at] != '"' {
                    at += 1;
                }
                at += 1;
            }
            '$' => {
                let mut depth = 0;
                while at < chars.len() {
                    depth += i32::from(chars[at] == '(') - i32::from(chars[at] == ')');
                    at += 1;
                    if depth == 0 && at > start + 1 {
                        break;
                    }
                }
            }
            '&' | '|' => at += 2,
            '!' | '<' | '>' => at += if chars.get(at + 1) == Some(&'=') { 2 } else { 1 },
            '(' | ')' | '=' => at += 1,
            _ => {
                let end = |c: char| c.is_whitespace() || "&|!()=<>\"".contains(c);
                while at < chars.len() && !end(chars[at]) {
                    at += 1;
                }
            }
        }
        tokens.push(chars[start..at.min(chars.len())].iter().collect());
    }
    tokens
}

struct Parser<'a> {
    options: Options,
    read: &'a dyn Fn(&str) -> Option<String>,
    arch: &'a str,
    /// Conditions of the blocks that are open: `if`, `menu`, `choice`.
    around: Vec<Vec<String>>,
}

/// Where an attribute line belongs.
enum Place {
    Nowhere,
    Block,
    Option(String),
}

/// Files source one another this deep at most.
const DEPTH_MAX: usize = 32;

impl Parser<'_> {
    fn file(&mut self, name: &str, depth: usize) {
        let Some(text) = (self.read)(name).filter(|_| depth < DEPTH_MAX) else { return };
        let mut here = Place::Nowhere;
        let mut help: Option<usize> = None;
        for (number, line) in joined(&text) {
            if let Some(indent) = help {
                // The first line of a help text says how far it is indented; a line with less ends it.
                let own = if line.trim().is_empty() { usize::MAX } else { column(&line) };
                if own >= indent.max(1) {
                    help = Some(if indent == 0 && own != usize::MAX { own } else { indent });
                    continue;
                }
                help = None;
            }
            let words = line.trim();
            if words.is_empty() || words.starts_with('#') {
                continue;
            }
            let (first, rest) = words.split_once([' ', '\t']).unwrap_or((words, ""));
            let rest = rest.trim();
            match first {
                "help" | "---help---" => help = Some(0),
                "config" | "menuconfig" => here = self.begin(rest, format!("{name}:{number}")),
                "choice" | "menu" | "if" => {
                    self.around.push(if first == "if" { vec![rest.to_owned()] } else { Vec::new() });
                    here = if first == "if" { Place::Nowhere } else { Place::Block };
                }
                "endchoice" | "endmenu" | "endif" => {
                    self.around.pop();
                    here = Place::Nowhere;
                }
                "source" | "rsource" | "osource" | "orsource" => {
                    let file = rest.trim_matches('"').replace("$(SRCARCH)", self.arch);
                    self.file(&file, depth + 1);
                    here = Place::Nowhere;
                }
                "comment" | "mainmenu" => here = Place::Nowhere,
                _ => self.attribute(&here, first, rest),
            }
        }
    }

    fn begin(&mut self, name: &str, place: String) -> Place {
        let depends = self.around.iter().flatten().cloned().collect();
        let definition = Definition {
            place,
            kind: OptionKind::Unknown,
            prompt: None,
            prompt_if: None,
            depends,
            defaults: Vec::new(),
            selects: Vec::new(),
        };
        self.options.by_name.entry(name.to_owned()).or_default().push(definition);
        Place::Option(name.to_owned())
    }

    fn attribute(&mut self, here: &Place, first: &str, rest: &str) {
        let name = match here {
            Place::Nowhere => return,
            Place::Block => {
                let condition = rest.strip_prefix("on ").filter(|_| first == "depends");
                if let (Some(condition), Some(block)) = (condition, self.around.last_mut()) {
                    block.push(condition.trim().to_owned());
                }
                return;
            }
            Place::Option(name) => name,
        };
        let definitions = self.options.by_name.get_mut(name);
        let Some(own) = definitions.and_then(|list| list.last_mut()) else { return };
        let (value, condition) = conditional(rest);
        match first {
            "bool" | "def_bool" => own.kind = OptionKind::Bool,
            "tristate" | "def_tristate" => own.kind = OptionKind::Tristate,
            "int" => own.kind = OptionKind::Int,
            "hex" => own.kind = OptionKind::Hex,
            "string" => own.kind = OptionKind::String,
            _ => {}
        }
        match first {
            "bool" | "tristate" | "int" | "hex" | "string" | "prompt" if value.starts_with(['"', '\'']) => {
                own.prompt = Some(value.trim_matches(['"', '\'']).to_owned());
                own.prompt_if = condition.map(str::to_owned);
            }
            "default" | "def_bool" | "def_tristate" => own.defaults.push(rest.to_owned()),
            "depends" => own.depends.push(rest.strip_prefix("on ").unwrap_or(rest).trim().to_owned()),
            "select" | "imply" => own.selects.push((value.to_owned(), condition.map(str::to_owned))),
            _ => {}
        }
    }
}

/// `A if B` → (A, B); an `if` within quotes is text.
fn conditional(rest: &str) -> (&str, Option<&str>) {
    let quoted = rest.strip_prefix('"').and_then(|inner| inner.find('"')).map_or(0, |end| end + 2);
    match rest[quoted..].find(" if ") {
        Some(at) => (rest[..quoted + at].trim(), Some(rest[quoted + at + 4..].trim())),
        None => (rest.trim(), None),
    }
}

/// The column of the first letter.
fn column(line: &str) -> usize {
    let blanks = line.chars().take_while(|c| c.is_whitespace());
    blanks.fold(0, |at, c| if c == '\t' { at / 8 * 8 + 8 } else { at + 1 })
}

/// Lines with their numbers, continued ones joined.
fn joined(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut open = false;
    for (number, line) in text.lines().enumerate() {
        let (part, continues) = line.strip_suffix('\\').map_or((line, false), |part| (part, true));
        match lines.last_mut().filter(|_| open) {
            Some((_, before)) => before.push_str(part),
            None => lines.push((number + 1, part.to_owned())),
        }
        open = continues;
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOP: &str = "mainmenu \"x\"\nsource \"arch/$(SRCARCH)/Kconfig\"\nmenu \"Net\"\n\tdepends on HAS_NET\n\n\
        config NET\n\tbool \"Networking if you like\" if EXPERT\n\tselect BPF if 64BIT\n\tdefault y\n\thelp\n\
        \t  config NOT_ONE\n\n\t  More.\n\nif NET\nconfig INET\n\tbool \"TCP\"\n\tdepends on A && \\\n\t\t!B\nendif\nendmenu\n\
        config BPF\n\tdef_bool n\n";

    fn options() -> Options {
        let files = [("Kconfig", TOP), ("arch/x86/Kconfig", "config 64BIT\n\tint \"bits\"\n\trange 1 2\n")];
        let read = |name: &str| files.iter().find(|(file, _)| *file == name).map(|(_, text)| text.to_string());
        Options::read("Kconfig", "x86", &read)
    }

    #[test]
    fn entries_have_their_surroundings() {
        let options = options();
        assert_eq!(options.names().collect::<Vec<_>>(), ["64BIT", "BPF", "INET", "NET"]);
        let inet = &options.get("INET")[0];
        assert_eq!((inet.place.as_str(), inet.kind), ("Kconfig:16", OptionKind::Bool));
        assert_eq!(inet.depends, ["HAS_NET", "NET", "A && \t\t!B"]);
        let net = &options.get("NET")[0];
        assert_eq!(net.prompt.as_deref(), Some("Networking if you like"));
        assert_eq!((net.prompt_if.as_deref(), net.defaults[0].as_str()), (Some("EXPERT"), "y"));
        assert_eq!(options.selected_by("BPF").collect::<Vec<_>>(), [("NET", Some("64BIT"))]);
        assert!(options.has_prompt("64BIT") && !options.has_prompt("BPF") && options.kind("64BIT") == OptionKind::Int);
    }

    #[test]
    fn conditions_are_evaluated() {
        let value = |name: &str| match name {
            "A" | "B" => "y".to_owned(),
            "M" => "m".into(),
            "S" => "\"text\"".into(),
            _ => "n".into(),
        };
        for good in ["A", "A && B", "C || M", "!C && (A || C)", "A=y", "C!=y", "S=\"text\"", "$(success,x) && A", ""] {
            assert!(holds(good, &value), "{good}");
        }
        for bad in ["C", "A && !B", "!(A || C)", "M=y", "S=\"other\"", "CLANG_VERSION >= 1 && C"] {
            assert!(!holds(bad, &value), "{bad}");
        }
        assert_eq!(mentioned("!A && (B_2=y || \"$(X)\"!=\"\")"), ["A", "B_2"]);
    }
}
