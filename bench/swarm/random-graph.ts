/**
 * Whom each host dials, so that every two are joined once at most. Without a degree every host is joined to every other and
 * to all seeders. With one, each dials the seeders as far as its half of the degree goes, and then hosts at random, so that
 * hosts have about `degree` neighbours.
 * @returns names, by the host's index
 */
export function dialPlan(options: {
  readonly hosts: readonly string[];
  readonly seeders: readonly string[];
  readonly degree?: number;
  /** In [0, 1). */
  readonly random: () => number;
}): string[][] {
  const { hosts, seeders, degree, random } = options;
  if (degree === undefined) return hosts.map((_, index) => [...seeders, ...hosts.slice(0, index)]);
  const half = Math.ceil(degree / 2);
  const plan: string[][] = hosts.map(() => []);
  // A seeder has as many neighbours as anybody: the first hosts of a shuffled list.
  for (const seeder of seeders) {
    for (const index of shuffled(hosts, random).slice(0, degree)) plan[index]!.push(seeder);
  }
  const joined = (a: number, b: number) => plan[a]!.includes(hosts[b]!) || plan[b]!.includes(hosts[a]!);
  for (let index = 0; index < hosts.length; index++) {
    let dialled = 0;
    for (const other of shuffled(hosts, random)) {
      if (dialled === half) break;
      if (other === index || joined(index, other)) continue;
      plan[index]!.push(hosts[other]!);
      dialled++;
    }
  }
  return plan;
}

/** The indices of `list` in a random order (Fisher and Yates). */
function shuffled(list: readonly unknown[], random: () => number): number[] {
  const order = list.map((_, index) => index);
  for (let last = order.length - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1));
    [order[last], order[other]] = [order[other]!, order[last]!];
  }
  return order;
}
