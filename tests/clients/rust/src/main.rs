//! Clients by tokio-postgres without a pool: each is connected for one unit of work. The arguments are names of cases, --list tells them;
//! tests/clients/programs.py builds this program and sets its environment.

mod queries;
mod session;
mod sessions;
mod transfers;

use session::Outcome;
use std::future::Future;

// One line for each case: its name is its function's.
macro_rules! cases {
    ($($module:ident::$case:ident)*) => {
        const NAMES: &[&str] = &[$(stringify!($case)),*];

        async fn passes(name: &str) -> bool {
            match name {
                $(stringify!($case) => judged(name, $module::$case()).await,)*
                _ => panic!("no case {name}"),
            }
        }
    };
}

cases! {
    queries::many_short_connections
    queries::simple_and_prepared_queries
    queries::transactions_and_their_rollback
    queries::an_error_and_the_session_goes_on
    transfers::copy_in_and_out
    transfers::a_cursor_read_in_pieces
    sessions::listen_and_notify
    sessions::a_cancel_ends_one_query
    transfers::many_requests_in_one_go
    sessions::startup_settings_hold_for_their_session
    sessions::nothing_is_left_to_the_next
    transfers::large_values_both_ways
    sessions::a_password_over_tcp
    queries::an_answer_that_nobody_waits_for
}

// A case in a task of its own: where an assertion fails, the task panics and says why on stderr.
async fn judged(name: &str, case: impl Future<Output = Outcome> + Send + 'static) -> bool {
    let failure = match tokio::spawn(case).await {
        Ok(Ok(())) => None,
        Ok(Err(why)) => Some(format!("{why:?}")),
        Err(panic) => Some(panic.to_string()),
    };
    match &failure {
        None => println!("ok {name}"),
        Some(why) => println!("FAILED {name}: {why}"),
    }
    failure.is_none()
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let mut failed = false;
    for name in std::env::args().skip(1) {
        if name == "--list" {
            println!("{}", NAMES.join("\n"));
        } else {
            failed |= !passes(&name).await;
        }
    }
    std::process::exit(i32::from(failed));
}
