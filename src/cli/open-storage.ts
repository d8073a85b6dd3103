import type { Registry } from 'prom-client';
import {
  type DriverParameters,
  defaultDriverFactory,
  RetryingDriver,
  type StorageDriver,
  StorageMetrics,
  TimedDriver,
} from '../driver/index.ts';

/**
 * Opens the storage of a program: a driver by its name, whose calls are tried again when they fail in a way that may pass, and
 * timed. The caller closes it.
 * @param metrics shows the timings; for one storage of a program
 * @throws ConfigError for the name or the parameters; what the driver throws when it cannot reach its storage
 */
export async function openStorage(
  { driver, parameters }: { readonly driver: string; readonly parameters: DriverParameters },
  metrics: Registry,
): Promise<StorageDriver> {
  const opened = await defaultDriverFactory().create(driver, parameters);
  return new TimedDriver(new RetryingDriver(opened), new StorageMetrics(metrics));
}
