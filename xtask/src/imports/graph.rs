//! The import graph of one crate: an edge is a path that leads to something that another file defines. A
//! re-export that its own file does not use is no edge, and whoever uses it imports the file behind it.

use std::collections::{BTreeMap, BTreeSet};

use super::lexer::{Token, tokens};

/// Re-exports followed at most one after the other.
const LIMIT_HOPS: usize = 16;
const ITEMS: [&str; 8] = ["fn", "struct", "enum", "trait", "type", "const", "static", "union"];

type Path = Vec<String>;

/// A `use` of a file: what it is called there, and where it is.
struct Import {
    name: String,
    /// From the crate's root.
    path: Path,
    public: bool,
}

#[derive(Default)]
struct Module {
    file: String,
    tokens: Vec<Token>,
    imports: Vec<Import>,
    /// Targets of `use ...::*`, and whether they are public.
    globs: Vec<(Path, bool)>,
    defined: BTreeSet<String>,
}

/// What a path leads to.
enum Target {
    Module(Path),
    Item(Path),
}

/// The modules of a crate.
#[derive(Default)]
pub struct Crate {
    modules: BTreeMap<Path, Module>,
}

impl Crate {
    /// From the crate's source files, as paths below `src` with their text.
    pub fn new(files: &[(String, String)]) -> Self {
        let mut all = Crate::default();
        for (file, text) in files {
            let module = Module { file: file.clone(), tokens: tokens(text), ..Module::default() };
            all.modules.insert(path_of(file), module);
        }
        let paths: BTreeSet<Path> = all.modules.keys().cloned().collect();
        for (path, module) in &mut all.modules {
            read(path, module, &paths);
        }
        all
    }

    /// Which file imports which.
    pub fn edges(&self) -> BTreeSet<(String, String)> {
        let mut out = BTreeSet::new();
        for (path, module) in &self.modules {
            for target in self.imports_of(path, module) {
                let file = &self.modules[&target].file;
                if *file != module.file {
                    out.insert((module.file.clone(), file.clone()));
                }
            }
        }
        out
    }

    fn imports_of(&self, path: &Path, module: &Module) -> Vec<Path> {
        let mut out = Vec::new();
        for import in module.imports.iter().filter(|i| !i.public || uses(module, &i.name)) {
            out.extend(self.item(&import.path));
        }
        out.extend(module.globs.iter().filter(|(_, public)| !public).filter_map(|(g, _)| self.module(g)));
        for inline in inline_paths(path, module, &self.modules) {
            out.extend(self.item(&inline));
        }
        out
    }

    /// The module that defines what the path leads to, unless that is a module itself.
    fn item(&self, path: &Path) -> Option<Path> {
        match self.resolve(path, 0)? {
            Target::Item(module) => Some(module),
            Target::Module(_) => None,
        }
    }

    fn module(&self, path: &Path) -> Option<Path> {
        match self.resolve(path, 0)? {
            Target::Module(module) => Some(module),
            Target::Item(_) => None,
        }
    }

    fn resolve(&self, path: &[String], hops: usize) -> Option<Target> {
        if hops > LIMIT_HOPS {
            return None;
        }
        let mut at: Path = Vec::new();
        for (i, segment) in path.iter().enumerate() {
            at.push(segment.clone());
            if self.modules.contains_key(&at) {
                continue;
            }
            at.pop();
            let module = self.modules.get(&at)?;
            let rest = &path[i + 1..];
            if let Some(import) = module.imports.iter().find(|im| im.name == *segment) {
                return self.resolve(&[&import.path, rest].concat(), hops + 1);
            }
            if !module.defined.contains(segment) {
                for (glob, _) in &module.globs {
                    let Some(inside) = self.module(glob) else { continue };
                    if self.modules[&inside].defined.contains(segment) {
                        return Some(Target::Item(inside));
                    }
                }
            }
            return Some(Target::Item(at));
        }
        Some(Target::Module(at))
    }
}

/// `a/mod.rs` and `a.rs` are both module `a`; the crate's root is empty.
fn path_of(file: &str) -> Path {
    let stem = file.trim_end_matches(".rs");
    let stem = stem.strip_suffix("/mod").unwrap_or(stem);
    match stem {
        "lib" | "main" => Vec::new(),
        other => other.split('/').map(str::to_owned).collect(),
    }
}

/// Whether a name stands in the file outside of its `use`s.
fn uses(module: &Module, name: &str) -> bool {
    let mut in_use = false;
    module.tokens.iter().any(|t| {
        match t.word() {
            Some("use") => in_use = true,
            Some(word) => return !in_use && word == name,
            None if t.is(';') => in_use = false,
            None => {}
        }
        false
    })
}

fn read(path: &Path, module: &mut Module, all: &BTreeSet<Path>) {
    let tokens = std::mem::take(&mut module.tokens);
    let mut public = false;
    let mut at = 0;
    while at < tokens.len() {
        match tokens[at].word() {
            Some("pub") => public = true,
            Some("use") => {
                let mut found = Vec::new();
                at = tree(&tokens, at + 1, &mut Vec::new(), &mut found);
                for (segments, name) in found {
                    let Some(absolute) = absolute(path, &segments, all) else { continue };
                    match name {
                        None => module.globs.push((absolute, public)),
                        Some(name) => module.imports.push(Import { name, path: absolute, public }),
                    }
                }
                public = false;
                continue;
            }
            Some(word) if ITEMS.contains(&word) => {
                module.defined.extend(tokens.get(at + 1).and_then(Token::word).map(str::to_owned));
                public = false;
            }
            Some("crate" | "super" | "in") => {}
            Some(_) => public = false,
            None => {}
        }
        at += 1;
    }
    module.tokens = tokens;
}

/// Reads one tree of a `use` from `at`; gives where it ends. Found are paths with the name that each gets;
/// without a name it is a glob.
fn tree(
    tokens: &[Token],
    mut at: usize,
    prefix: &mut Path,
    found: &mut Vec<(Path, Option<String>)>,
) -> usize {
    let depth = prefix.len();
    while let Some(token) = tokens.get(at) {
        match token {
            Token::Word(word) if word == "as" => {
                if let Some((_, name)) = found.last_mut() {
                    *name = tokens.get(at + 1).and_then(Token::word).map(str::to_owned);
                }
                at += 2;
            }
            Token::Word(word) => {
                prefix.push(word.clone());
                if tokens.get(at + 1) != Some(&Token::Path) {
                    let own = if word == "self" { &prefix[..prefix.len() - 1] } else { &prefix[..] };
                    found.push((own.to_vec(), own.last().cloned()));
                }
                at += 1;
            }
            Token::Mark('*') => {
                found.push((prefix.clone(), None));
                at += 1;
            }
            Token::Mark('{') => {
                at += 1;
                while tokens.get(at).is_some_and(|t| !t.is('}')) {
                    let mut inner = prefix.clone();
                    at = tree(tokens, at, &mut inner, found);
                    if tokens.get(at).is_some_and(|t| t.is(',')) {
                        at += 1;
                    }
                }
                at += 1;
            }
            Token::Path => at += 1,
            _ => break,
        }
    }
    prefix.truncate(depth);
    at
}

/// A path of a file in this module, from the crate's root; `None` when it leads out of the crate.
fn absolute(module: &[String], segments: &[String], all: &BTreeSet<Path>) -> Option<Path> {
    let (first, rest) = segments.split_first()?;
    let mut base: Path = match first.as_str() {
        "crate" => Vec::new(),
        "self" => module.to_vec(),
        "super" => module[..module.len().checked_sub(1)?].to_vec(),
        child => {
            let own = [module, &[child.to_owned()]].concat();
            if !all.contains(&own) {
                return None;
            }
            own
        }
    };
    for segment in rest {
        if segment == "super" {
            base.pop();
        } else {
            base.push(segment.clone());
        }
    }
    Some(base)
}

/// The paths in the file's code, from the crate's root.
fn inline_paths(path: &Path, module: &Module, all: &BTreeMap<Path, Module>) -> BTreeSet<Path> {
    let known: BTreeSet<Path> = all.keys().cloned().collect();
    let mut out = BTreeSet::new();
    let (mut at, mut in_use) = (0, false);
    while at < module.tokens.len() {
        let token = &module.tokens[at];
        let starts = at == 0 || module.tokens[at - 1] != Token::Path;
        match token {
            Token::Word(w) if w == "use" => in_use = true,
            Token::Mark(';') => in_use = false,
            Token::Word(_) if !in_use && starts => {
                let mut segments = Vec::new();
                while let Some(word) = module.tokens.get(at).and_then(Token::word) {
                    segments.push(word.to_owned());
                    if module.tokens.get(at + 1) != Some(&Token::Path) {
                        break;
                    }
                    at += 2;
                }
                if segments.len() > 1 {
                    out.extend(from_root(path, module, &segments, &known));
                }
            }
            _ => {}
        }
        at += 1;
    }
    out
}

fn from_root(path: &Path, module: &Module, segments: &[String], known: &BTreeSet<Path>) -> Option<Path> {
    match module.imports.iter().find(|i| i.name == segments[0]) {
        Some(import) => Some([&import.path[..], &segments[1..]].concat()),
        None => absolute(path, segments, known),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edges(files: &[(&str, &str)]) -> Vec<String> {
        let files: Vec<(String, String)> =
            files.iter().map(|(f, t)| ((*f).to_owned(), (*t).to_owned())).collect();
        Crate::new(&files).edges().into_iter().map(|(a, b)| format!("{a} -> {b}")).collect()
    }

    #[test]
    fn an_edge_leads_to_the_file_that_defines_what_is_imported() {
        let got = edges(&[
            ("lib.rs", "mod a; mod b; pub use a::Thing;"),
            ("a/mod.rs", "mod deep; pub use deep::{Thing, other as another}; pub fn own() {}"),
            ("a/deep.rs", "pub struct Thing; pub fn other() {}"),
            ("b.rs", "use crate::{Thing, a}; fn f() { a::own(); a::another(); std::mem::take(x); }"),
        ]);
        assert_eq!(got, ["b.rs -> a/deep.rs", "b.rs -> a/mod.rs"]);
    }

    #[test]
    fn a_reexport_counts_only_where_it_is_used() {
        let deep = ("a/deep.rs", "use super::base; pub struct Thing;");
        let unused = ("a/mod.rs", "mod deep; pub use deep::Thing; pub fn base() {}");
        let used = ("a/mod.rs", "mod deep; pub use deep::Thing; pub fn base(_: Thing) {}");
        assert_eq!(edges(&[deep, unused]), ["a/deep.rs -> a/mod.rs"]);
        assert_eq!(edges(&[deep, used]), ["a/deep.rs -> a/mod.rs", "a/mod.rs -> a/deep.rs"]);
    }

    #[test]
    fn globs_and_tests() {
        let got = edges(&[
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "pub use crate::b::*; pub fn f() {}"),
            ("b.rs", "pub fn g() {} #[cfg(test)] mod tests { use crate::a::f; }"),
            ("c.rs", "use crate::a::g; fn h() { std::mem::take(x) }"),
        ]);
        assert_eq!(got, ["c.rs -> b.rs"]);
    }
}
