import { findRepository, type Repository } from '../core/index.ts';
import type { Action } from '../registry/index.ts';
import type { Rights } from './rights.ts';

const allActions: readonly Action[] = ['pull', 'push', 'delete'];

/**
 * Reads the claim `access` of a token (distribution, "Token claims"): `[{type, name, actions}]`. Kinds, names and actions that
 * mean nothing here grant nothing. Names are whole repositories; there are no patterns in tokens.
 * @returns `undefined` when it is no such claim
 */
export function findGrants(access: unknown): Rights | undefined {
  const grants = new Map<Repository, Set<Action>>();
  let catalog = false;
  if (access !== undefined && access !== null) {
    if (!Array.isArray(access)) return undefined;
    for (const entry of access) {
      const read = findEntry(entry);
      if (read === undefined) return undefined;
      const { type, name, actions } = read;
      if (type === 'registry' && name === 'catalog') catalog ||= actions.includes('*');
      if (type === 'repository') addGrants(grants, name, actions);
    }
  }
  return {
    may: (need) => {
      if (need.kind === 'entry') return true;
      if (need.kind === 'catalog') return catalog;
      return grants.get(need.repository)?.has(need.action) ?? false;
    },
    pullsEverything: false,
  };
}

function addGrants(grants: Map<Repository, Set<Action>>, name: string, actions: readonly string[]): void {
  const repository = findRepository(name);
  if (repository === undefined) return;
  const granted = grants.get(repository) ?? new Set<Action>();
  for (const action of allActions) if (actions.includes(action) || actions.includes('*')) granted.add(action);
  grants.set(repository, granted);
}

function findEntry(entry: unknown): { type: string; name: string; actions: readonly string[] } | undefined {
  if (typeof entry !== 'object' || entry === null) return undefined;
  const { type, name, actions = [] } = entry as Record<string, unknown>;
  // Servers in Go write an empty list as null.
  const list = actions ?? [];
  if (typeof type !== 'string' || typeof name !== 'string' || !Array.isArray(list)) return undefined;
  if (!list.every((action) => typeof action === 'string')) return undefined;
  return { type, name, actions: list as string[] };
}
