import { type Command, InvalidArgumentError } from 'commander';
import { type RoleFlags, sourcesOf, withRoleOptions } from './role-commands.ts';
import { allRoles, type RoleEntry } from './roles.ts';

/** `shoal config print`: what a program would run with. */
export function addConfigCommand(program: Command): void {
  const config = program.command('config').description('look at configurations');
  const print = config.command('print').description('show the effective configuration of a program');
  print.argument('<role>', `one of ${roleNames()}`, parseRole);
  withRoleOptions(print, 'program').action(async (entry: RoleEntry, flags: RoleFlags) => {
    // Loaded here, so that the other commands start without them.
    const [{ maskSecrets }, { stringify }] = await Promise.all([import('../config/index.ts'), import('yaml')]);
    const role = await entry.open();
    const loaded = await role.load(sourcesOf(flags));
    process.stdout.write(stringify(maskSecrets(loaded.config)));
  });
}

function parseRole(name: string): RoleEntry {
  const role = allRoles.find((candidate) => candidate.name === name);
  if (role !== undefined) return role;
  throw new InvalidArgumentError(`expected one of ${roleNames()}, got "${name}".`);
}

function roleNames(): string {
  return allRoles.map(({ name }) => name).join(', ');
}
