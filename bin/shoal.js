#!/usr/bin/env node
// Starts the command line. Shoal runs on Node 24; `npm ci` brings one along (the optional dependencies node-linux-*),
// so under an older system Node this file hands over to that one instead of failing.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import * as nodeModule from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const major = Number(process.versions.node.split('.')[0]);

if (major >= 24) {
  // Compiled code is kept beside the installed packages (not in a folder that others may write to): a program starts in
  // half the time. Where that folder cannot be written, nothing is kept.
  nodeModule.enableCompileCache(join(root, 'node_modules', '.cache', 'shoal'));
  const { main } = await import('../src/cli/main.ts');
  process.exitCode = await main(process.argv.slice(2));
} else {
  const bundled = join(root, 'node_modules', '.bin', 'node');
  if (!existsSync(bundled)) {
    console.error(`shoal needs Node 24; this is ${process.version}. Run "npm ci" in ${root}, or install Node 24.`);
    process.exit(1);
  }
  const child = spawn(bundled, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], { stdio: 'inherit' });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.on('exit', (code, signal) => process.exit(code ?? (signal ? 128 : 1)));
}
