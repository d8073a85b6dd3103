/**
 * Installs what the tests run against: npm packages that have folders of their own below `test/tools`, and Debian packages.
 * The latter need root on Debian or Ubuntu. Services of the packages are kept from starting; those that run already are left
 * alone.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { missingTools } from './npm-tools.ts';
import { missingPrograms } from './system-programs.ts';

/** Debian asks this file before a package may start its service; 101 means "forbidden by policy" (invoke-rc.d). */
const POLICY_FILE = '/usr/sbin/policy-rc.d';

function main(): number {
  // Both are tried, so that a machine without apt-get still gets the tools.
  const tools = installTools();
  return installPrograms() || tools;
}

/** @returns 0 when every tool is there */
function installTools(): number {
  for (const { name, folder } of missingTools()) {
    console.log(`test setup: installing ${name}`);
    // No scripts: none of the packages needs one, and nobody has looked at what theirs do.
    const args = ['ci', '--ignore-scripts', '--no-audit', '--no-fund'];
    const { status, error } = spawnSync('npm', args, { stdio: 'inherit', cwd: folder });
    if (error !== undefined) console.error(`test setup: cannot run npm: ${error.message}`);
    if (status !== 0) {
      console.error(`test setup: npm ci in ${folder} failed with status ${status ?? 'none'}`);
      return status ?? 1;
    }
  }
  return 0;
}

function installPrograms(): number {
  const missing = missingPrograms();
  if (missing.length === 0) {
    console.log('test setup: every program is there already');
    return 0;
  }
  const packages = [...new Set(missing.map(({ debianPackage }) => debianPackage))];
  if (!existsSync('/usr/bin/apt-get')) {
    console.error(`test setup: this system has no apt-get; install these by its own means: ${packages.join(' ')}`);
    return 1;
  }
  if (process.getuid?.() !== 0) {
    console.error(`test setup: needs root; run: sudo apt-get install --no-install-recommends ${packages.join(' ')}`);
    return 1;
  }
  console.log(`test setup: installing ${packages.join(' ')}`);
  return withoutServiceStarts(() => {
    const updated = aptGet('update', '--quiet');
    if (updated !== 0) return updated;
    return aptGet('install', '--yes', '--quiet', '--no-install-recommends', ...packages);
  });
}

function aptGet(...args: string[]): number {
  const environment = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const { status, error } = spawnSync('apt-get', args, { stdio: 'inherit', env: environment });
  if (error !== undefined) console.error(`test setup: cannot run apt-get: ${error.message}`);
  if (status !== 0) console.error(`test setup: apt-get ${args[0]} failed with status ${status ?? 'none'}`);
  return status ?? 1;
}

function withoutServiceStarts(action: () => number): number {
  const ours = !existsSync(POLICY_FILE);
  if (ours) writeFileSync(POLICY_FILE, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    return action();
  } finally {
    if (ours) rmSync(POLICY_FILE, { force: true });
  }
}

process.exitCode = main();
