//! Properties: no text makes anything panic, and what costs little does little.

use cel::cost::{NoSizes, estimate};
use cel::{Env, NoVariables, Program, compile, library};
use proptest::prelude::*;

/// Compiles and evaluates whatever a text is.
fn run(text: &str, budget: u64) -> Option<(u64, bool)> {
    let env = Env::new(library::kubernetes()).with("x", cel::Type::Dyn);
    let checked = compile(text, &env).ok()?;
    let range = estimate(&checked, &NoSizes);
    assert!(range.min <= range.max, "{text}: {range:?}");
    let program = Program::new(&checked).ok()?;
    let variables = [("x", cel::Value::list(vec![cel::Value::Int(1), cel::Value::str("a")]))];
    let out = program.eval(&variables, budget);
    let cancelled = out.result.as_ref().is_err_and(cel::Error::is_cancelled);
    assert!(out.cost <= budget || cancelled, "{text}: cost {} of {budget}", out.cost);
    Some((out.cost, cancelled))
}

const WORDS: &[&str] = &[
    "x",
    "1",
    "-1",
    "1u",
    "1.5",
    "'a'",
    "b'a'",
    "null",
    "true",
    "[",
    "]",
    "{",
    "}",
    "(",
    ")",
    ".",
    ",",
    ":",
    "?",
    "!",
    "-",
    "+",
    "*",
    "/",
    "%",
    "==",
    "<",
    "&&",
    "||",
    " in ",
    "has(",
    "x.map(y, y)",
    ".all(y, y > 0)",
    ".size()",
    "[?0]",
    ".?a",
    "duration('1s')",
    "timestamp(0)",
    "type(",
    "dyn(",
    "string(",
    "int(",
    "'%s'.format(",
    ".matches('a*')",
    "quantity('1')",
    "ip('::1')",
    "optional.of(1)",
    ".optMap(z, z)",
    "lists.range(3)",
    ".sort()",
    ".sum()",
    ".join()",
    "sets.contains(",
    ".split('')",
    ".replace('', 'b')",
    "9223372036854775807",
    "\"\\u00e9\"",
    "é",
    "\\",
    "`a-b`",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn words_do_not_panic(words in prop::collection::vec(prop::sample::select(WORDS), 0..12)) {
        run(&words.concat(), 10_000);
    }

    #[test]
    fn characters_do_not_panic(text in "\\PC{0,60}") {
        run(&text, 10_000);
    }
}

/// Grows by what it makes, again and again.
#[test]
fn what_doubles_is_cut_off() {
    let mut list = "[[1, 2, 3]]".to_owned();
    let mut text = "['abcdefgh']".to_owned();
    for _ in 0..40 {
        list.push_str(".map(x, x + x)");
        text.push_str(".map(x, x + x)");
    }
    for (expr, cut) in [
        (format!("{list}[0].size()"), false),
        (format!("{list}[0].all(x, x > 0)"), true),
        (format!("{list} == {list}"), true),
        (format!("{text}[0].size()"), true),
        ("lists.range(1000000).map(x, lists.range(1000000))".to_owned(), true),
        ("lists.range(1000).all(x, lists.range(1000).all(y, true))".to_owned(), true),
        ("lists.range(1000).map(x, 'ab').join('').replace('', 'abcdefgh').size()".to_owned(), false),
    ] {
        // A tree that is too deep is refused before.
        if let Some((_, cancelled)) = run(&expr, 1_000_000) {
            assert_eq!(cancelled, cut, "{}", &expr[expr.len() - 40..]);
        }
    }
}

/// The deepest that the parser lets in goes through all passes on a thread's usual stack.
#[test]
fn deep_is_refused_or_done() {
    for depth in [10, 60, 100, 200, 240, 260, 5000] {
        for (open, middle, close) in [
            ("(", "1", ")"),
            ("[", "1", "]"),
            ("-", "(1)", ""),
            ("!", "true", ""),
            ("{1: ", "1", "}"),
            ("1 + (", "1", ")"),
        ] {
            run(&format!("{}{middle}{}", open.repeat(depth), close.repeat(depth)), 1000);
        }
        run(&format!("x{}", ".a".repeat(depth)), 1000);
        run(&format!("1{}", " + 1".repeat(depth)), 1000);
        run(&format!("true{}", " && true".repeat(depth)), 1000);
        run(&format!("optional.of(1){}", ".optMap(x, x)".repeat(depth)), 1000);
        run(&format!("{}x{}", "[1].map(x, ".repeat(depth), ")".repeat(depth)), 1000);
    }
}

/// What compares much costs as much, even where the language counts little.
#[test]
fn comparing_is_bounded() {
    let env = Env::new(library::kubernetes());
    // Each level holds the one below twice: equal in two steps of cost, in 2^40 of work.
    let mut expr = "[1]".to_owned();
    for _ in 0..40 {
        expr = format!("[{expr}].map(x, [x, x])[0]");
    }
    if let Ok(checked) = compile(&format!("[{expr}].all(x, x == x)"), &env) {
        let program = Program::new(&checked).expect("nothing in it is constant and wrong");
        assert!(program.eval(&NoVariables, 1_000_000).result.is_err_and(|e| e.is_cancelled()));
    }
}
