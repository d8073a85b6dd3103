import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EventQueue } from '../../bench/simulator/event-queue.ts';

/** All events that are left, as [time, a]. */
function drain(queue: EventQueue): [number, number][] {
  const events: [number, number][] = [];
  while (queue.pop()) events.push([queue.timeMs, queue.a]);
  return events;
}

describe('EventQueue', () => {
  it('gives events in the order of their times, near and far', () => {
    const times = fc.array(fc.oneof(fc.double({ min: 0, max: 5, noNaN: true }), fc.integer({ min: 0, max: 100_000 })));
    fc.assert(
      fc.property(times, fc.constantFrom(0.005, 0.1, 3), (all, slotMs) => {
        const queue = new EventQueue(slotMs);
        all.forEach((time, index) => {
          queue.push(time, 1, index, 0);
        });
        const events = drain(queue);
        expect(events.map(([time]) => time)).toEqual(all.toSorted((a, b) => a - b));
        expect(events.map(([, index]) => index).toSorted((a, b) => a - b)).toEqual(all.map((_, index) => index));
      }),
    );
  });

  it('keeps the order when events are added while others are taken', () => {
    const steps = fc.array(fc.record({ after: fc.double({ min: 0, max: 2000, noNaN: true }), takes: fc.nat(3) }));
    fc.assert(
      fc.property(steps, (all) => {
        const queue = new EventQueue(0.01);
        let nowMs = 0;
        let pushed = 0;
        let taken = 0;
        for (const { after, takes } of all) {
          queue.push(nowMs + after, 0, pushed++, 0);
          for (let i = 0; i < takes && queue.pop(); i++) {
            expect(queue.timeMs).toBeGreaterThanOrEqual(nowMs);
            nowMs = queue.timeMs;
            taken++;
          }
        }
        expect(queue.size).toBe(pushed - taken);
        expect(drain(queue)).toHaveLength(pushed - taken);
      }),
    );
  });

  it('hands back what was put in', () => {
    const queue = new EventQueue(1);
    queue.push(2.5, 7, 11, -13);
    expect(queue.pop()).toBe(true);
    expect([queue.timeMs, queue.kind, queue.a, queue.b]).toEqual([2.5, 7, 11, -13]);
    expect(queue.pop()).toBe(false);
  });

  it('takes an event for a time that is over as the next one', () => {
    const queue = new EventQueue(1);
    queue.push(10, 0, 1, 0);
    queue.push(20, 0, 2, 0);
    queue.pop();
    queue.push(5, 0, 3, 0);
    expect(drain(queue).map(([, a]) => a)).toEqual([3, 2]);
  });
});
