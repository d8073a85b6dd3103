/**
 * Runs the tests; arguments go to vitest (`npm test -- test/config`). The last line is `N passed, N failed, N skipped`.
 *
 * With CI=true the programs that tests need are installed first, and a skipped test fails the run. Elsewhere what is missing
 * is named, and the tests that need it are skipped.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { missingTools } from './npm-tools.ts';
import { missingPrograms } from './system-programs.ts';

/** The fields that are read of vitest's JSON report. */
interface TestReport {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numTodoTests: number;
  readonly testResults: readonly {
    readonly status: string;
    readonly assertionResults: readonly { status: string }[];
  }[];
}

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const inCi = process.env['CI'] === 'true';

function main(): number {
  const setup = prepare();
  if (setup !== 0) return setup;
  const folder = mkdtempSync(join(tmpdir(), 'shoal-report-'));
  try {
    return runTests(join(folder, 'report.json'));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** @returns 0 when the tests may run */
function prepare(): number {
  if (inCi) return runNode(join(root, 'scripts', 'test-setup.ts'));
  const missing = missingPrograms();
  const tools = missingTools();
  if (missing.length + tools.length > 0) {
    console.error('Some programs that tests run against are not here; to install them: npm run test:setup');
    for (const { name, tests } of tools) console.error(`  ${name} (npm package), skipped without it: ${tests}`);
    for (const { command, debianPackage, tests } of missing) {
      console.error(`  ${command} (Debian package ${debianPackage}), skipped without it: ${tests}`);
    }
  }
  return 0;
}

function runTests(reportFile: string): number {
  const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs');
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${reportFile}`];
  const status = runNode(vitest, 'run', ...reporters, ...process.argv.slice(2));
  if (!existsSync(reportFile)) {
    console.error('vitest ended without a report');
    return status === 0 ? 1 : status;
  }
  const report = JSON.parse(readFileSync(reportFile, 'utf8')) as TestReport;
  const skipped = report.numPendingTests + report.numTodoTests;
  const failed = report.numFailedTests + brokenFiles(report);
  const refused = inCi && skipped > 0;
  if (refused) console.error(`${skipped} tests were skipped; with CI=true every test has to run`);
  console.log(`${report.numPassedTests} passed, ${failed} failed, ${skipped} skipped`);
  if (status !== 0) return status;
  return failed > 0 || refused ? 1 : 0;
}

/** Test files that failed without any of their tests failing: they could not be loaded, or their set-up failed. */
function brokenFiles({ testResults }: TestReport): number {
  return testResults.filter(({ status, assertionResults }) => {
    return status === 'failed' && !assertionResults.some((result) => result.status === 'failed');
  }).length;
}

function runNode(...args: string[]): number {
  const { status, signal, error } = spawnSync(process.execPath, args, { stdio: 'inherit', cwd: root });
  if (error !== undefined) console.error(`cannot run ${args[0]}: ${error.message}`);
  if (signal !== null) console.error(`${args[0]} was ended by ${signal}`);
  return status ?? 1;
}

process.exitCode = main();
