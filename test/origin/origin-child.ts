import { defaultDriverFactory } from '../../src/driver/index.ts';
import { makeFlaky } from './flaky-driver.ts';
import { type OriginOptions, openOrigin } from './origin-parts.ts';

/** What the parent process tells, as JSON in the first argument. */
export interface ChildOptions extends Omit<OriginOptions, 'backend'> {
  readonly backendDirectory: string;
  readonly backendDown: boolean;
}

// An origin in a process of its own, to be killed. It prints one line when it listens, and ends with its input.
const { backendDirectory, backendDown, ...options } = JSON.parse(process.argv[2] ?? '') as ChildOptions;
const backend = await defaultDriverFactory().create('filesystem', { rootdirectory: backendDirectory });
const flaky = makeFlaky(backend);
flaky.controls.down = backendDown;
await openOrigin({ ...options, backend: flaky.driver });
process.stdin.resume().on('end', () => process.exit(0));
process.stdout.write('listening\n');
