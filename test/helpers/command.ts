import { execFile, execFileSync } from 'node:child_process';

/** Runs a program to its end. Rejects with what it printed when it fails. */
export function run(
  program: string,
  args: readonly string[],
  options: { cwd?: string; timeoutMs?: number } = {},
): Promise<string> {
  return new Promise((resolve, reject) => {
    const settings = { cwd: options.cwd, timeout: options.timeoutMs ?? 300_000, maxBuffer: 64 * 1024 * 1024 };
    execFile(program, [...args], settings, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(new Error(`${program} ${args.join(' ')} failed: ${error.message}\n${stderr}`));
    });
  });
}

/**
 * Whether all programs are on this machine, so that tests that need them can run. One that is missing is said aloud, so that
 * a skip is never silent. In CI nothing is skipped: there it always answers true, and a missing program fails its tests.
 */
export function hasPrograms(...programs: string[]): boolean {
  if (process.env['CI'] === 'true') return true;
  const missing = programs.filter((program) => !isInstalled(program));
  if (missing.length > 0)
    console.warn(`SKIPPED: tests that need ${missing.join(', ')}; npm run test:setup installs them`);
  return missing.length === 0;
}

function isInstalled(program: string): boolean {
  try {
    execFileSync('sh', ['-c', `command -v ${program}`], { stdio: 'ignore' });
    return true;
  } catch {
    return false; // `command -v` answers so when there is none.
  }
}
