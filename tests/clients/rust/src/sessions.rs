//! What belongs to a session, and ends with it.

use crate::session::{fails_with, new_name, over_tcp, over_unix, right_password, session, Outcome, Session};
use std::time::Duration;
use tokio_postgres::{Error, NoTls};

const NAME: &str = "select current_setting('application_name')";

pub async fn listen_and_notify() -> Outcome {
    let channel = new_name();
    let mut listener = session().await?;
    listener.client.batch_execute(&format!("listen {channel}")).await?;
    let speaker = session().await?;
    for said in ["one", "two", "three"] {
        speaker.client.execute("select pg_notify($1, $2)", &[&channel, &said]).await?;
    }
    speaker.end().await;
    for said in ["one", "two", "three"] {
        let heard = listener.heard.recv().await.ok_or("the connection ended")?;
        assert_eq!((heard.channel(), heard.payload()), (channel.as_str(), said));
    }
    listener.end().await;
    let other = session().await?;
    assert_eq!(other.value::<i64>("select count(*) from pg_listening_channels()", &[]).await?, 0);
    other.end().await;
    Ok(())
}

/// Found by its name: in transaction mode it may have another server for each query.
async fn wait_until_it_sleeps(watcher: &Session, name: &str) -> Result<(), Error> {
    let sleeping = "select count(*) from pg_stat_activity where application_name = $1 and wait_event = 'PgSleep'";
    while watcher.value::<i64>(sleeping, &[&name]).await? == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

/// PostgreSQL signals a backend twice for a cancel request, and tokio-postgres does not wait until its request is through: the session's
/// next query may be hit as well, the next session's may not.
pub async fn a_cancel_ends_one_query() -> Outcome {
    let watcher = session().await?;
    for _ in 0..5 {
        let name = new_name();
        let mine = Session::new(&over_unix(&format!("application_name={name}"))).await?;
        let cancel = async {
            wait_until_it_sleeps(&watcher, &name).await?;
            mine.client.cancel_token().cancel_query(NoTls).await
        };
        let (asked, sent) = tokio::join!(mine.client.execute("select pg_sleep(50)", &[]), cancel);
        fails_with(asked, "57014");
        sent?;
        let next = mine.value::<String>(NAME, &[]).await;
        if let Ok(next) = next {
            assert_eq!(next, name);
        } else {
            fails_with(next, "57014");
            assert_eq!(mine.value::<String>(NAME, &[]).await?, name);
        }
        mine.end().await;
    }
    watcher.end().await;
    Ok(())
}

const SHOWN: &str = "select concat_ws('|', current_setting('application_name'), current_setting('search_path'),\
    current_setting('timezone'), current_setting('statement_timeout'))";

pub async fn startup_settings_hold_for_their_session() -> Outcome {
    let first = session().await?;
    let before: String = first.value(SHOWN, &[]).await?;
    first.end().await;
    let settings = "application_name=shop options='-c search_path=pg_catalog -c timezone=Asia/Tokyo -c statement_timeout=45s'";
    for _ in 0..5 {
        let mine = Session::new(&over_unix(settings)).await?;
        assert_eq!(mine.value::<String>(SHOWN, &[]).await?, "shop|pg_catalog|Asia/Tokyo|45s");
        mine.client.batch_execute("set timezone = 'Europe/Paris'; set statement_timeout = 0").await?;
        mine.client.batch_execute("reset all").await?;
        assert_eq!(mine.value::<String>(SHOWN, &[]).await?, "shop|pg_catalog|Asia/Tokyo|45s");
        mine.end().await;
        let next = session().await?;
        assert_eq!(next.value::<String>(SHOWN, &[]).await?, before);
        next.end().await;
    }
    fails_with(Session::new(&over_unix("options='-c work_mem=much'")).await, "22023");
    Ok(())
}

pub async fn nothing_is_left_to_the_next() -> Outcome {
    let table = new_name();
    let left = format!(
        "select concat_ws('|', (select count(*) from pg_prepared_statements where name = 'mine'), (select count(*) from pg_cursors where name <> ''),\
         (select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()),\
         to_regclass('pg_temp.{table}'), current_setting('search_path'), (select count(*) from {table}))"
    );
    let first = session().await?;
    first.client.batch_execute(&format!("create table {table} (id int)")).await?;
    first.end().await;
    for _ in 0..10 {
        let mine = session().await?;
        mine.client.batch_execute(&format!("create temp table {table} (id int); prepare mine as select 1")).await?;
        mine.client.batch_execute("select pg_advisory_lock(7); declare held cursor with hold for select 1").await?;
        mine.client.batch_execute("set search_path = pg_catalog").await?;
        mine.client.batch_execute(&format!("begin; insert into public.{table} values (1)")).await?;
        mine.end().await;
        let next = session().await?;
        assert_eq!(next.value::<String>(&left, &[]).await?, "0|0|0|\"$user\", public|0");
        next.end().await;
    }
    Ok(())
}

pub async fn a_password_over_tcp() -> Outcome {
    for _ in 0..3 {
        let mine = Session::new(&over_tcp(&right_password())).await?;
        assert!(mine.value::<bool>("select current_user = 'app'", &[]).await?);
        mine.end().await;
        fails_with(Session::new(&over_tcp("wrong")).await, "28P01");
    }
    Ok(())
}
