//! Queries, transactions, errors.

use crate::session::{fails_with, new_name, over_unix, session, Outcome, Session};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::Semaphore;
use tokio_postgres::error::ErrorPosition;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, IsolationLevel, SimpleQueryMessage};

pub async fn many_short_connections() -> Outcome {
    let gate = Arc::new(Semaphore::new(64));
    let mut units = Vec::new();
    for number in 0..400 {
        let gate = gate.clone();
        units.push(tokio::spawn(async move {
            let _place = gate.acquire().await.expect("the gate is open");
            unit_of_work(number).await
        }));
    }
    for unit in units {
        unit.await??;
    }
    Ok(())
}

async fn unit_of_work(number: i32) -> Result<(), Error> {
    let mut session = session().await?;
    let transaction = session.client.transaction().await?;
    let next: i32 = transaction.query_one("select $1::int + 1", &[&number]).await?.get(0);
    assert_eq!(next, number + 1);
    transaction.commit().await?;
    session.end().await;
    Ok(())
}

pub async fn simple_and_prepared_queries() -> Outcome {
    let mine = session().await?;
    for _ in 0..3 {
        assert_eq!(mine.value::<i32>("select $1::int + $2::int", &[&40, &2]).await?, 42);
        assert_eq!(mine.value::<String>("select $1::text", &[&"grüße, '世界'"]).await?, "grüße, '世界'");
        assert_eq!(mine.value::<Option<String>>("select $1::text", &[&None::<String>]).await?, None);
        assert_eq!(mine.value::<Vec<u8>>("select $1::bytea", &[&vec![0u8, 1, 255]]).await?, [0, 1, 255]);
        let moment = SystemTime::UNIX_EPOCH + Duration::from_secs(1_709_209_800);
        assert_eq!(mine.value::<SystemTime>("select $1::timestamptz", &[&moment]).await?, moment);
    }
    let answers = mine.client.simple_query("select 1; select 2; select 'three'").await?;
    let words: Vec<_> = answers
        .iter()
        .filter_map(|answer| match answer {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        })
        .collect();
    assert_eq!(words, ["1", "2", "three"]);
    mine.end().await;

    for round in 0..10 {
        // tokio-postgres counts its names of statements from 0 in each process: others in each session
        let mine = session().await?;
        let twice = mine.client.prepare("select $1::int * 2").await?;
        for number in [21, round] {
            assert_eq!(mine.client.query_one(&twice, &[&number]).await?.get::<_, i32>(0), 2 * number);
        }
        drop(twice); // closes it
        mine.client.batch_execute("prepare s0 as select 1").await?;
        assert_eq!(mine.value::<i64>("select count(*) from pg_prepared_statements where name = 's0'", &[]).await?, 1);
        mine.end().await;
    }
    Ok(())
}

pub async fn transactions_and_their_rollback() -> Outcome {
    let table = new_name();
    let mut mine = session().await?;
    mine.client.batch_execute(&format!("create table {table} (id int primary key)")).await?;
    let insert = format!("insert into {table} values ($1)");
    let transaction = mine.client.transaction().await?;
    transaction.execute(insert.as_str(), &[&1]).await?;
    transaction.rollback().await?;
    let transaction = mine.client.transaction().await?;
    transaction.execute(insert.as_str(), &[&1]).await?;
    drop(transaction); // rolls back as well
    let mut transaction = mine.client.build_transaction().isolation_level(IsolationLevel::Serializable).start().await?;
    transaction.execute(insert.as_str(), &[&2]).await?;
    let savepoint = transaction.savepoint("here").await?;
    fails_with(savepoint.execute(insert.as_str(), &[&2]).await, "23505");
    fails_with(savepoint.execute("select 1", &[]).await, "25P02");
    savepoint.rollback().await?;
    transaction.execute(insert.as_str(), &[&3]).await?;
    transaction.commit().await?;
    mine.end().await;

    let next = session().await?;
    assert_eq!(next.value::<Vec<i32>>(&format!("select array_agg(id order by id) from {table}"), &[]).await?, [2, 3]);
    next.end().await;
    Ok(())
}

pub async fn an_error_and_the_session_goes_on() -> Outcome {
    let name = new_name();
    let mine = Session::new(&over_unix(&format!("application_name={name}"))).await?;
    let raise = "do $$ begin raise exception 'mine' using errcode = 'TP001', detail = 'more'; end $$";
    let none: &[&(dyn ToSql + Sync)] = &[];
    for _ in 0..3 {
        let told = fails_with(mine.client.query("select 1 / $1::int", &[&0]).await, "22012");
        assert_eq!(told.as_db_error().map(|error| error.message()), Some("division by zero"));
        let told = fails_with(mine.client.query("select * from no_such_table", none).await, "42P01");
        assert_eq!(told.as_db_error().and_then(|error| error.position()), Some(&ErrorPosition::Original(15)));
        let told = fails_with(mine.client.query(raise, none).await, "TP001");
        assert_eq!(told.as_db_error().and_then(|error| error.detail()), Some("more"));
        fails_with(mine.client.simple_query(raise).await, "TP001");
    }
    assert_eq!(mine.value::<String>("select current_setting('application_name')", &[]).await?, name);
    mine.end().await;
    Ok(())
}

/// A future that is dropped in the middle of its query: the session goes on when the answer is over.
pub async fn an_answer_that_nobody_waits_for() -> Outcome {
    let mine = Session::new(&over_unix("")).await?;
    for _ in 0..3 {
        let slow = mine.client.query("select pg_sleep(0.3), repeat('x', 1000000)", &[]);
        assert!(tokio::time::timeout(Duration::from_millis(100), slow).await.is_err());
        assert_eq!(mine.value::<i32>("select 42", &[]).await?, 42);
    }
    mine.end().await;
    Ok(())
}
