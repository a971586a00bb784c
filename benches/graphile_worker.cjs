// Jobs a second of graphile-worker: jobs that do nothing, taken from a queue that holds them all.
//
//   node graphile_worker.cjs DATABASE_URL JOBS AT_ONCE     run in the folder that has the package
const { createRequire } = require('node:module');
const { run, runMigrations, Logger } = createRequire(`${process.cwd()}/`)('graphile-worker');
const { Pool } = createRequire(`${process.cwd()}/`)('pg');

async function main() {
  const [connectionString, jobs, atOnce] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
  const pool = new Pool({ connectionString, max: atOnce + 2 });
  const logger = new Logger(() => () => {});
  await runMigrations({ pgPool: pool, logger });
  await pool.query(
    "select graphile_worker.add_job('nothing', json_build_object('n', n)) from generate_series(1, $1::int) as n",
    [jobs],
  );
  await pool.query('vacuum analyze');
  let done = 0;
  let begun;
  const all = new Promise((resolve) => {
    globalThis.finish = resolve;
  });
  const nothing = () => {
    begun ??= process.hrtime.bigint();
    done += 1;
    if (done === jobs) globalThis.finish();
  };
  const runner = await run({ pgPool: pool, logger, concurrency: atOnce, noHandleSignals: true, taskList: { nothing } });
  await all;
  // The last ones are taken out of the queue after they were done.
  for (;;) {
    const { rows } = await pool.query('select count(*)::int as left from graphile_worker.jobs');
    if (rows[0].left === 0) break;
  }
  const seconds = Number(process.hrtime.bigint() - begun) / 1e9;
  await runner.stop();
  await pool.end();
  console.log(Math.round(jobs / seconds));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
