//! Much in one go: COPY, portals, pipelines, large values.

use crate::session::{fails_with, new_name, session, Outcome};
use bytes::Bytes;
use futures_util::future::{join, join_all};
use futures_util::{pin_mut, SinkExt, TryStreamExt};
use std::fmt::Write;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::Type;

pub async fn copy_in_and_out() -> Outcome {
    let table = new_name();
    let mut lines = String::new();
    for number in 0..20000 {
        writeln!(lines, "{number}\trow {number} {}", "x".repeat(200))?;
    }
    let (copy_in, copy_out) = (format!("copy {table} from stdin"), format!("copy (select * from {table} order by id) to stdout"));

    let mine = session().await?;
    mine.client.batch_execute(&format!("create table {table} (id int, body text)")).await?;
    let sink = mine.client.copy_in(copy_in.as_str()).await?;
    pin_mut!(sink);
    for piece in lines.as_bytes().chunks(50_000) {
        sink.send(Bytes::copy_from_slice(piece)).await?;
    }
    assert_eq!(sink.finish().await?, 20000);
    mine.end().await;

    let mine = session().await?;
    let pieces: Vec<Bytes> = mine.client.copy_out(copy_out.as_str()).await?.try_collect().await?;
    assert!(pieces.concat() == lines.as_bytes(), "other rows came back");

    let sink = mine.client.copy_in(copy_in.as_str()).await?;
    pin_mut!(sink);
    sink.send(Bytes::from_static(b"1\ta\nnot a number\tb\n")).await?;
    fails_with(sink.finish().await, "22P02");

    let sink = mine.client.copy_in(copy_in.as_str()).await?;
    let mut given_up = Box::pin(sink);
    given_up.send(Bytes::from_static(b"1\ta\n")).await?;
    drop(given_up); // tokio-postgres fails the COPY then

    let writer = BinaryCopyInWriter::new(mine.client.copy_in(format!("{copy_in} binary").as_str()).await?, &[Type::INT4, Type::TEXT]);
    pin_mut!(writer);
    for number in 0..100 {
        writer.as_mut().write(&[&number, &"binary"]).await?;
    }
    assert_eq!(writer.finish().await?, 100);
    assert_eq!(mine.value::<i64>(&format!("select count(*) from {table}"), &[]).await?, 20100);
    mine.end().await;
    Ok(())
}

pub async fn a_cursor_read_in_pieces() -> Outcome {
    let mut mine = session().await?;
    let transaction = mine.client.transaction().await?;
    let portal = transaction.bind("select generate_series(1, $1::int)", &[&5000]).await?;
    let mut seen = Vec::new();
    loop {
        let rows = transaction.query_portal(&portal, 100).await?;
        if rows.is_empty() {
            break;
        }
        assert_eq!(rows.len(), 100);
        seen.extend(rows.iter().map(|row| row.get::<_, i32>(0)));
    }
    assert!(seen.into_iter().eq(1..=5000));
    let given_up = transaction.bind("select generate_series(1, 5000)", &[]).await?;
    assert_eq!(transaction.query_portal(&given_up, 10).await?.len(), 10);
    drop((portal, given_up));
    transaction.commit().await?;
    assert_eq!(mine.value::<i64>("select count(*) from pg_cursors where name <> ''", &[]).await?, 0);
    mine.end().await;
    Ok(())
}

/// tokio-postgres sends what is asked at once without waiting for answers in between, each with a Sync of its own.
pub async fn many_requests_in_one_go() -> Outcome {
    let table = new_name();
    let mine = session().await?;
    mine.client.batch_execute(&format!("create table {table} (id int primary key)")).await?;
    let insert = mine.client.prepare(&format!("insert into {table} values ($1) returning id")).await?;
    let insert_one = |id: i32| {
        let (client, insert) = (&mine.client, &insert);
        async move { client.query_one(insert, &[&id]).await.map(|row| row.get::<_, i32>(0)) }
    };
    for (id, result) in join_all((0..300).map(insert_one)).await.into_iter().enumerate() {
        assert_eq!(result? as usize, id);
    }
    let results = join_all([1000, 1001, 1000, 1002].map(insert_one)).await; // the third fails, the fourth does not care
    assert_eq!(results.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, true, false, true]);
    let (first, second) = join(mine.client.batch_execute("select 1 / 0"), mine.value::<i32>("select 42", &[])).await;
    fails_with(first, "22012");
    assert_eq!(second?, 42);
    assert_eq!(mine.value::<i64>(&format!("select count(*) from {table}"), &[]).await?, 303);
    drop(insert);
    mine.end().await;
    Ok(())
}

pub async fn large_values_both_ways() -> Outcome {
    let mine = session().await?;
    let text = "tidepool".repeat(1 << 20);
    assert_eq!(mine.value::<i32>("select length($1::text)", &[&text]).await? as usize, text.len());
    assert!(mine.value::<String>("select $1::text", &[&text]).await? == text, "another text came back");
    let bytes = [0u8, 1, 2, 255].repeat(1 << 21);
    assert!(mine.value::<Vec<u8>>("select $1::bytea", &[&bytes]).await? == bytes, "other bytes came back");
    assert_eq!(mine.value::<String>("select repeat('x', 20000000)", &[]).await?.len(), 20_000_000);
    mine.end().await;
    Ok(())
}
