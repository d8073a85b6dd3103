import { parentPort } from 'node:worker_threads';
import { compareSync } from 'bcryptjs';
import type { PasswordAnswer, PasswordJob } from './password-thread.ts';

/*
 * The thread that computes bcrypt: see `password-thread.ts`, which starts it. One check takes a tenth of a second, in which
 * the thread that serves requests would serve none.
 */

const port = parentPort;

port?.on('message', ({ password, hash }: PasswordJob) => {
  port.postMessage({ matches: compareSync(password, hash) } satisfies PasswordAnswer);
});
