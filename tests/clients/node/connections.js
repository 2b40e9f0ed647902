"use strict";

const assert = require("node:assert/strict");
const crypto = require("node:crypto");
const { Client } = require("pg");

const { PGHOST, PGPORT, PGDATABASE, PGUSER, TCP_PORT, TCP_PASSWORD } = process.env;
const place = { host: PGHOST, port: Number(PGPORT), database: PGDATABASE, user: PGUSER };

// Over TCP, where a password is asked for.
function overTcp(password = TCP_PASSWORD) {
  return { ...place, host: "127.0.0.1", port: Number(TCP_PORT), password };
}

async function connect(more) {
  const client = new Client({ ...place, ...more });
  await client.connect();
  return client;
}

// A session of its own for some work; what it leaves behind is the pool's business.
async function session(more, work) {
  const client = await connect(more);
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

// The one value that a query answers.
async function value(client, query, parameters) {
  const { rows } = await client.query(query, parameters);
  return Object.values(rows[0])[0];
}

async function failsWith(promise, sqlstate) {
  const error = await promise.then(() => assert.fail(`no ${sqlstate}`), (told) => told);
  assert.equal(error.code, sqlstate, error.stack);
  return error;
}

async function waitUntil(condition) {
  while (!(await condition())) {
    await new Promise((wake) => setTimeout(wake, 20));
  }
}

function newName() {
  return `t_${crypto.randomBytes(6).toString("hex")}`;
}

module.exports = { connect, failsWith, newName, overTcp, place, session, value, waitUntil };
