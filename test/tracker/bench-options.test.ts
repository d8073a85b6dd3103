import { describe, expect, it } from 'vitest';
import { BenchUsageError } from '../../bench/lib/errors.ts';
import { parseTrackerOptions } from '../../bench/tracker/options.ts';

describe('the command line of bench:tracker', () => {
  it('is the fleet of the goal, unless told otherwise', () => {
    expect(parseTrackerOptions([])).toMatchObject({
      hosts: 15_000,
      swarmsPerHost: 20,
      arrivalSeconds: 5,
      everySeconds: 5,
    });
  });

  it.each([
    [['--hosts', '100', '--json'], { hosts: 100, json: true }],
    [['--swarms', '5', '--blobs', '50', '--changed', '0'], { swarmsPerHost: 5, blobs: 50, changed: 0 }],
    [['--arrival', '2.5s', '--foreign', '0'], { arrivalSeconds: 2.5, foreignSeconds: 0 }],
    [['--profile', 'p', '--out', 'o'], { profile: 'p', out: 'o' }],
  ])('reads %j', (args, expected) => {
    expect(parseTrackerOptions(args)).toMatchObject(expected);
  });

  it.each([
    [['--hosts', '0']],
    [['--hosts', 'many']],
    [['--swarms', '21']],
    [['--changed', '21']],
    [['--unknown']],
    [['word']],
  ])('refuses %j', (args) => {
    expect(() => parseTrackerOptions(args)).toThrow(BenchUsageError);
  });
});
