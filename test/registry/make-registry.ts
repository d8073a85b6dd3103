import type { TestClient } from './client.ts';

/** Starts an empty registry that lives until the test is over; called once in each test. */
export type MakeRegistry = () => Promise<{ readonly client: TestClient }>;
