//! Runs one case: `sessile-exact NAME`. Without a name it says which there are.

use std::process::ExitCode;

fn main() -> ExitCode {
    let cases = sessile_exact::cases();
    let Some(name) = std::env::args().nth(1) else {
        cases.iter().for_each(|case| println!("{}", case.name));
        return ExitCode::SUCCESS;
    };
    match cases.into_iter().find(|case| case.name == name) {
        Some(case) => {
            (case.run)();
            ExitCode::SUCCESS
        }
        None => {
            eprintln!("there is no case {name}");
            ExitCode::FAILURE
        }
    }
}
