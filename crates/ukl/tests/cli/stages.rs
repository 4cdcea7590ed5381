//! `scripts/test`: which stages run, what it says of them, and how it ends. Cargo and `ukl` only pretend.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::world::{done, Done, World};

/// Writes down what it is asked for; the test binary `$FAIL` fails.
const CARGO: &str = r#"
echo "$*" >> "$LOG"
case " $* " in
*" --test $FAIL "*) echo "test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured"; exit 101 ;;
*" --nocapture "*) echo "skip: no tape drive"; echo "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured" ;;
esac
"#;

/// A suite of one case or more: `said` for all of them, and by itself the case fails in try number `$BAD`.
const UKL: &str = r#"
echo "ukl $*" >> "$LOG"
if [ "$*" = test ]; then cat "$SAID"; exit 1; fi
[ "$(grep -cx "ukl $*" "$LOG")" != "$BAD" ]
"#;

fn world() -> World {
    let world = World::new().with_fakes();
    world.program("cargo", CARGO);
    world.program("ukl", UKL);
    fs::create_dir_all(world.at("target/debug")).unwrap();
    fs::rename(world.at("bin/ukl"), world.at("target/debug/ukl")).unwrap();
    world
}

/// `scripts/test` with these words.
fn stages(world: &World, words: &str, fail: &str, bad: &str) -> Done {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut test = Command::new(root.join("scripts/test"));
    test.args(words.split_whitespace()).env("PATH", world.search_path()).env("LOG", world.at("log"));
    test.env("CARGO_TARGET_DIR", world.at("target")).env("SAID", world.at("said"));
    done(test.env("FAIL", fail).env("BAD", bad).output().unwrap())
}

fn last(done: &Done) -> &str {
    done.out.lines().last().unwrap_or_default()
}

#[test]
fn chosen_stages_run_and_are_counted() {
    let world = world();
    let done = stages(&world, "unit boot", "", "");
    assert_eq!((done.code, last(&done)), (Some(0), "6 passed, 0 failed, 2 skipped"), "{done:?}");
    let asked = fs::read_to_string(world.at("log")).unwrap();
    assert_eq!(asked.lines().count(), 2, "{asked}");
    assert!(asked.contains("--lib --bins") && asked.contains("--test boot "), "{asked}");
    assert!(done.out.contains("ok    boot ") && done.out.contains("skip: no tape drive\n"), "{}", done.out);
}

#[test]
fn what_does_not_need_the_failed_stage_goes_on() {
    let world = world();
    for jobs in ["1", "3"] {
        let done = stages(&world, &format!("--jobs {jobs} build unit userland wrapper kernels boot"), "userland", "");
        assert_eq!((done.code, last(&done)), (Some(1), "5 passed, 1 failed, 4 skipped"), "{done:?}");
        for part in ["ok    unit ", "FAIL  userland ", "skip: boot needs kernels", "\nfailed: userland\n"] {
            assert!(done.out.contains(part), "no `{part}` in\n{}", done.out);
        }
    }
    let asked = fs::read_to_string(world.at("log")).unwrap();
    assert!(!asked.contains("--test boot") && !asked.contains("--test wrapper"), "{asked}");
}

#[test]
fn an_unknown_stage_is_refused_with_a_list() {
    let world = world();
    let done = stages(&world, "unit bot", "", "");
    done.fails(2, &["no stage `bot`", "\n  boot "]);
    assert!(!world.at("log").exists() && done.out.is_empty(), "{done:?}");
    let list = stages(&world, "--list", "", "").out;
    assert!(list.starts_with("fmt ") && list.contains("\nservers "), "{list}");
}

#[test]
fn a_case_that_is_as_expected_by_itself_is_unsteady() {
    let world = world();
    let row = |name: &str| format!("{name}  exit=0      exit=1      DIFFERS\n");
    let counts = "4 cases: 3 same, 0 differ for a known reason, 1 unexpected\n";
    let suite = |rows: &[&str], more: &str, bad: &str| {
        let _ = fs::remove_file(world.at("log"));
        let rows: String = rows.iter().map(|name| row(name)).collect();
        fs::write(world.at("said"), format!("case  ring3  app  verdict\n{rows}\na: DIFFERS\n  app  x\n{more}{counts}"))
            .unwrap();
        let done = stages(&world, "suite", "", bad);
        let tries = fs::read_to_string(world.at("log")).unwrap().matches("ukl test ").count();
        (done, tries)
    };
    let (done, tries) = suite(&["a"], "", "");
    assert_eq!((done.code, tries, last(&done)), (Some(0), 5, "0 passed, 0 failed, 0 skipped"), "{done:?}");
    assert!(done.out.contains("unsteady: a was not as expected in the whole run, but 5 times by itself\n"), "{done:?}");
    assert!(done.out.contains("unsteady: 1 tests passed only at another try\n"), "{done:?}");
    // Once not as expected by itself is a failure; so are many, a complaint of the kernel and a run that broke off.
    let (done, tries) = suite(&["a"], "", "4");
    assert_eq!((done.code, tries, last(&done)), (Some(1), 4, "0 passed, 1 failed, 0 skipped"), "{done:?}");
    for (rows, more) in [
        (&["a", "b", "c"][..], ""),
        (&["a"], "\nthe kernel complained in a: BUG\n"),
        (&["a"], "\nthe time limit passed, in app at `a`\n"),
        (&[], "\nthe kernel panicked: out of luck\n"),
    ] {
        let (done, tries) = suite(rows, more, "");
        assert_eq!((done.code, tries), (Some(1), 0), "{done:?}");
    }
}
