// Uses the embedded engine through @clickhouse/client. Argument: the engine's URL; the logins come on standard input as
// four lines: writer's user and password, reader's user and password. Ends with a failed assertion where it fails.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { Readable } from 'node:stream'
import { join } from 'node:path'

const require = createRequire(join(process.env.NODE_PATH, 'x.js'))
const { createClient, ClickHouseError } = require('@clickhouse/client')

const url = process.argv[2]
const [writer, writerPassword, reader, readerPassword] = readFileSync(0, 'utf8').split('\n')
const connect = (options = {}) => createClient({ url, username: writer, password: writerPassword, ...options })

async function codeOf(promise) {
  try {
    await promise
  } catch (error) {
    assert.ok(error instanceof ClickHouseError, String(error))
    return [error.code, error.type]
  }
  assert.fail('no error was raised')
}

const tests = {
  async pings() {
    const client = connect()
    assert.equal((await client.ping()).success, true)
    await client.close()
  },

  async insertsAndReads() {
    const client = connect()
    await client.command({ query: 'CREATE TABLE js (id UInt64, text String) ENGINE = MergeTree ORDER BY id' })
    const values = Array.from({ length: 5000 }, (_, id) => ({ id, text: `line\n\n${id}; DROP TABLE js` }))
    const { summary } = await client.insert({ table: 'js', values, format: 'JSONEachRow' })
    assert.equal(summary.written_rows, '5000')
    const rows = await client.query({ query: 'SELECT * FROM js ORDER BY id', format: 'JSONEachRow' })
    const read = await rows.json()
    assert.equal(read.length, 5000)
    assert.deepEqual(read[7], { id: 7, text: 'line\n\n7; DROP TABLE js' })
    const whole = await client.query({ query: 'SELECT id FROM js ORDER BY id LIMIT 2', format: 'JSON' })
    assert.equal((await whole.json()).rows, 2)
    await client.close()
  },

  async streamsBothWays() {
    const client = connect()
    await client.command({ query: 'CREATE TABLE streamed (id UInt64) ENGINE = MergeTree ORDER BY id' })
    const numbers = Readable.from((function* () { for (let id = 0; id < 100000; id++) yield [id] })(), { objectMode: true })
    await client.insert({ table: 'streamed', values: numbers, format: 'JSONCompactEachRow' })
    const result = await client.query({ query: 'SELECT id FROM streamed ORDER BY id', format: 'JSONCompactEachRowWithNames' })
    let count = 0
    let header = 0
    for await (const rows of result.stream()) {
      for (const row of rows) {
        const [value] = row.json()
        if (value === 'id') header++
        else assert.equal(Number(value), count++)
      }
    }
    assert.deepEqual([count, header], [100000, 1])
    await client.close()
  },

  async compressesBothWays() {
    const client = connect({ compression: { request: true, response: true } })
    await client.command({ query: 'CREATE TABLE gz (id UInt64, text String) ENGINE = MergeTree ORDER BY id' })
    const values = Array.from({ length: 20000 }, (_, id) => ({ id, text: 'text '.repeat(10) }))
    await client.insert({ table: 'gz', values, format: 'JSONEachRow' })
    const rows = await client.query({ query: 'SELECT * FROM gz ORDER BY id', format: 'JSONEachRow' })
    assert.equal(rows.response_headers['content-encoding'], 'gzip')
    const read = await rows.json()
    assert.deepEqual(read[19999], { id: 19999, text: 'text '.repeat(10) })
    await client.close()
  },

  async bindsParameters() {
    const client = connect()
    const result = await client.query({
      query: 'SELECT {n:UInt32} AS n, {s:String} AS s, {l:Array(String)} AS l, {m:Map(String, UInt8)} AS m',
      query_params: { n: 5, s: "it's \\ \n; --", l: ["a'", 'b'], m: { k: 1 } },
      format: 'JSONEachRow',
    })
    assert.deepEqual(await result.json(), [{ n: 5, s: "it's \\ \n; --", l: ["a'", 'b'], m: { k: 1 } }])
    await client.close()
  },

  async passesSettings() {
    const client = connect()
    const get = async (clickhouse_settings) => {
      const result = await client.query({ query: "SELECT getSetting('max_block_size') AS v, toUInt64(1) AS big", format: 'JSONEachRow', clickhouse_settings })
      return (await result.json())[0]
    }
    assert.deepEqual(await get({ max_block_size: '4321', output_format_json_quote_64bit_integers: 1 }), { v: 4321, big: '1' })
    assert.notEqual((await get({})).v, 4321)
    const [code, type] = await codeOf(client.query({ query: 'SELECT 1', clickhouse_settings: { dialect: 'kusto' } }))
    assert.deepEqual([code, type], ['452', 'SETTING_CONSTRAINT_VIOLATION'])
    await client.close()
  },

  async keepsSessions() {
    const client = connect({ session_id: 'node-session', max_open_connections: 1 })
    await client.command({ query: 'CREATE TEMPORARY TABLE temporary (i Int32)' })
    await client.insert({ table: 'temporary', values: [{ i: 42 }, { i: 144 }], format: 'JSONEachRow' })
    const rows = await client.query({ query: 'SELECT * FROM temporary ORDER BY i', format: 'JSONEachRow' })
    assert.deepEqual(await rows.json(), [{ i: 42 }, { i: 144 }])
    await client.close()
  },

  async readsErrors() {
    const client = connect()
    assert.deepEqual(await codeOf(client.query({ query: 'SELECT * FROM nowhere' })), ['60', 'UNKNOWN_TABLE'])
    assert.deepEqual(await codeOf(client.query({ query: 'SELEC 1' })), ['62', 'SYNTAX_ERROR'])
    assert.deepEqual(await codeOf(client.query({ query: "SELECT * FROM url('http://127.0.0.1:1')" })), ['497', 'ACCESS_DENIED'])
    assert.deepEqual(await codeOf(client.insert({ table: 'js', values: Readable.from(['nonsense,"x"\n'], { objectMode: false }), format: 'CSV' })), ['27', 'CANNOT_PARSE_INPUT_ASSERTION_FAILED'])
    const wrong = connect({ password: 'wrong' })
    assert.deepEqual(await codeOf(wrong.query({ query: 'SELECT 1' })), ['516', 'AUTHENTICATION_FAILED'])
    await Promise.all([client.close(), wrong.close()])
  },

  async noticesAnErrorInTheMiddleOfAStream() {
    for (const response of [false, true]) {
      const client = connect({ compression: { response } })
      const result = await client.query({
        query: "SELECT number, throwIf(number = 900000, 'planted') FROM numbers(1000000)",
        format: 'JSONEachRow',
        clickhouse_settings: { max_block_size: '10000', max_threads: 1 },
      })
      await assert.rejects(async () => {
        for await (const rows of result.stream()) rows.length
      }, /planted/)
      await client.close()
    }
  },

  async readerOnlyReads() {
    const client = connect({ username: reader, password: readerPassword })
    const rows = await client.query({ query: 'SELECT count() AS c FROM js', format: 'JSONEachRow' })
    assert.deepEqual(await rows.json(), [{ c: 5000 }])
    assert.deepEqual(await codeOf(client.command({ query: 'DROP TABLE js' })), ['164', 'READONLY'])
    assert.deepEqual(await codeOf(client.insert({ table: 'js', values: [{ id: 1 }], format: 'JSONEachRow' })), ['164', 'READONLY'])
    await client.close()
  },
}

for (const [name, test] of Object.entries(tests)) {
  await test()
  console.log('ok', name)
}
console.log(Object.keys(tests).length, 'passed')
