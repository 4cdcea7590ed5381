//! Drawings that explain and need no data: where things lie, how a system call goes, how an image is made.

use crate::drawing::{Anchor, Drawing};

/// Every drawing with its name.
pub fn all() -> Vec<(&'static str, Drawing)> {
    vec![("address-space", address_space()), ("system-call", system_call()), ("pipeline", pipeline())]
}

/// The twin's address space beside the one in app mode.
fn address_space() -> Drawing {
    let title = "Whose code and data lie where: in ring 3 the program's code is in the lower half, \
                 in app mode it is a part of the kernel's text; its data is in the lower half in both";
    let mut d = Drawing::new(680.0, 408.0, title);
    let (left, right, width) = (130.0, 410.0, 250.0);
    for (x, head, below) in
        [(left, "ring 3 (the twin)", "an ordinary process"), (right, "app mode", "still an ordinary process")]
    {
        d.text("strong", Anchor::Middle, (x + width / 2.0, 26.0), head);
        d.text("small soft", Anchor::Middle, (x + width / 2.0, 44.0), below);
    }
    for (y, address, what) in [(70.0, "upper half:", "the kernel's"), (262.0, "lower half:", "the process's")] {
        d.text("small", Anchor::Start, (14.0, y + 6.0), address);
        d.text("small soft", Anchor::Start, (14.0, y + 22.0), what);
    }
    d.box_of("linux", (left, 60.0), (width, 150.0), &["Linux", "code and data"]);
    d.box_of("linux", (right, 60.0), (width, 84.0), &["Linux", "code and data"]);
    d.box_of(
        "program",
        (right, 152.0),
        (width, 58.0),
        &["program and C library: code", "in the kernel's text, at level 0"],
    );
    d.line("border", &[(14.0, 231.0), (666.0, 231.0)]);
    let lower = ["stack, heap, mappings", "private to the process"];
    d.box_of("data", (left, 252.0), (width, 44.0), &lower);
    d.box_of("data", (right, 252.0), (width, 44.0), &lower);
    let data = ["the program's data", "copied by fork only when written to"];
    d.box_of("data", (left, 302.0), (width, 44.0), &data);
    d.box_of("data", (right, 302.0), (width, 44.0), &data);
    d.box_of("program", (left, 352.0), (width, 44.0), &["program and C library: code", "at level 3"]);
    d.text("small soft", Anchor::Middle, (right + width / 2.0, 378.0), "no code: SMEP forbids it");
    d
}

/// The way of a system call in ring 3 and in app mode.
fn system_call() -> Drawing {
    let title = "A system call in ring 3 crosses the border between privilege levels twice; in app mode it jumps";
    let mut d = Drawing::new(680.0, 400.0, title);
    let (left, right, width) = (100.0, 400.0, 240.0);
    for (x, head) in [(left, "ring 3"), (right, "app mode")] {
        d.text("strong", Anchor::Middle, (x + width / 2.0, 26.0), head);
    }
    for (y, level) in [(82.0, "level 3"), (220.0, "level 0")] {
        d.text("small soft", Anchor::Start, (14.0, y), level);
    }
    d.text("small soft", Anchor::Start, (right + width - 50.0 + 4.0, 47.0), "level 0");
    d.box_of("program", (left, 54.0), (width, 58.0), &["the program", "mov $NUMBER, %eax", "syscall"]);
    d.box_of("program", (right, 54.0), (width, 58.0), &["the program", "mov $NUMBER, %eax", "jmp __ukl_syscall"]);
    d.line("border", &[(14.0, 148.0), (372.0, 148.0)]);
    let steps: [&[&str]; 3] = [
        &["entry", "kernel stack, registers saved"],
        &["the system call's function", "from Linux's own table"],
        &["exit", "registers restored"],
    ];
    for x in [left, right] {
        for (i, lines) in steps.iter().enumerate() {
            let y = 184.0 + 70.0 * i as f64;
            d.box_of("linux", (x, y), (width, 48.0), lines);
            if i > 0 {
                d.arrow(&[(x + width / 2.0, y - 22.0), (x + width / 2.0, y - 1.0)]);
            }
        }
        d.arrow(&[(x + 60.0, 112.0), (x + 60.0, 183.0)]);
        d.arrow(&[(x + width, 348.0), (x + width + 16.0, 348.0), (x + width + 16.0, 83.0), (x + width + 1.0, 83.0)]);
    }
    d.text("small", Anchor::Start, (left + 70.0, 134.0), "syscall: level 3 to 0");
    d.text("small", Anchor::Start, (left + 70.0, 170.0), "GS is exchanged");
    d.text("small", Anchor::Start, (right + 70.0, 134.0), "a jump: the level stays,");
    d.text("small", Anchor::Start, (right + 70.0, 150.0), "GS stays");
    d.text("small", Anchor::End, (left + width + 16.0, 392.0), "back by sysret: level 0 to 3");
    d.text("small", Anchor::End, (right + width + 16.0, 392.0), "back by a jump");
    d
}

/// From sources to a guest.
fn pipeline() -> Drawing {
    let title =
        "How an image is made: the program is compiled, linked into one object and prefixed; the kernel is patched, \
                 configured and compiled once; both meet in the kernel's last link; with a RAM disk they are the image";
    let mut d = Drawing::new(680.0, 470.0, title);
    let columns = [(16.0, 250.0), (282.0, 206.0), (504.0, 160.0)];
    let stages: [&[(&str, &[&str])]; 3] = [
        &[
            ("program", &["main.c, the C library", "unmodified"]),
            ("program", &["compile", "each system call gets a mark"]),
            ("program", &["link into one object", "also linked as the twin"]),
            ("program", &["prefix", "names get ukl_, marks become jumps"]),
        ],
        &[
            ("linux", &["Debian's Linux source", "unmodified"]),
            ("linux", &["patch", "a series of small patches"]),
            ("linux", &["configure", "every request is verified"]),
            ("linux", &["compile", "once for all programs"]),
        ],
        &[("data", &["ukl.toml", "files, arguments"]), ("data", &["init", "mounts, starts, reports"])],
    ];
    for ((x, width), boxes) in columns.iter().zip(stages) {
        for (i, (class, lines)) in boxes.iter().enumerate() {
            let y = 16.0 + 70.0 * i as f64;
            d.box_of(class, (*x, y), (*width, 46.0), lines);
            if i > 0 {
                d.arrow(&[(x + width / 2.0, y - 24.0), (x + width / 2.0, y - 1.0)]);
            }
        }
    }
    d.box_of(
        "linux",
        (16.0, 312.0),
        (472.0, 46.0),
        &["the kernel's last link", "UKL.a and the kernel's objects become vmlinux and bzImage"],
    );
    d.box_of("data", (504.0, 312.0), (160.0, 46.0), &["RAM disk", "initrd.cpio.lz4"]);
    d.arrow(&[(141.0, 272.0), (141.0, 311.0)]);
    d.text("small mono", Anchor::Start, (151.0, 296.0), "UKL.a");
    d.arrow(&[(385.0, 272.0), (385.0, 311.0)]);
    d.arrow(&[(584.0, 132.0), (584.0, 311.0)]);
    d.box_of(
        "folder",
        (16.0, 400.0),
        (648.0, 50.0),
        &["the image: build/NAME/", "kernel, RAM disk, twin, configuration, checksums, logs; QEMU boots it"],
    );
    d.arrow(&[(250.0, 358.0), (250.0, 399.0)]);
    d.arrow(&[(584.0, 358.0), (584.0, 399.0)]);
    d
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_label_is_clipped_or_covered() {
        for (name, drawing) in all() {
            assert!(drawing.faults().is_empty(), "{name}: {:#?}", drawing.faults());
        }
    }
}
