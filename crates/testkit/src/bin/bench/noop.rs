//! Programs that do nothing: the smallest static binaries, so that what is measured is Muster.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Exits with 0 before any library is set up, where the machine's way to do so is known.
const SOURCE: &str = r#"
#if defined(__x86_64__)
void _start(void) { __asm__ volatile("mov $60, %eax\n xor %edi, %edi\n syscall"); }
#elif defined(__aarch64__)
void _start(void) { __asm__ volatile("mov x8, #93\n mov x0, #0\n svc #0"); }
#endif
"#;

/// Waits for a signal, for ever.
const IDLE: &str = r#"
#if defined(__x86_64__)
void _start(void) { for (;;) __asm__ volatile("mov $34, %eax\n syscall"); }
#elif defined(__aarch64__)
void _start(void) { for (;;) __asm__ volatile("mov x8, #73\n mov x0, #0\n mov x1, #0\n mov x2, #0\n mov x3, #0\n svc #0"); }
#endif
"#;

/// Compiles a program that ends at once, into a folder.
pub(crate) fn build(dir: &Path) -> PathBuf {
    compile(dir, "noop", SOURCE)
}

/// Compiles a program that never ends by itself, into a folder.
pub(crate) fn build_idle(dir: &Path) -> PathBuf {
    compile(dir, "idle", IDLE)
}

fn compile(dir: &Path, name: &str, text: &str) -> PathBuf {
    let (source, program) = (dir.join(format!("{name}.c")), dir.join(name));
    std::fs::write(&source, text).expect("a file can be written");
    let mut compiler = Command::new("cc");
    compiler.args(["-O2", "-static", "-nostdlib", "-nostartfiles", "-o"]).arg(&program).arg(&source);
    assert!(compiler.status().expect("there is a C compiler").success(), "the no-op program compiles");
    program
}
