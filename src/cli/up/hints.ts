import type { PlannedProgram } from './plan.ts';

/** Commands with real names that can be pasted into a shell. */
export function renderHints(programs: readonly PlannedProgram[], image: string): string {
  const proxy = hostOf(programs.find(({ role }) => role === 'proxy'));
  const agents = programs.filter(({ role }) => role === 'agent');
  const agent = hostOf(agents[0]);
  const last = hostOf(agents.at(-1));
  return [
    'Pull the image from an agent:',
    `  docker pull ${agent}/${image}`,
    `  podman pull --tls-verify=false ${agent}/${image}`,
    `  skopeo copy --src-tls-verify=false docker://${last}/${image} oci:pulled:latest`,
    `  ctr images pull --plain-http ${last}/${image}`,
    '',
    'Push one of your own through the proxy, then pull it from any agent:',
    `  docker tag my-image ${proxy}/team/my-image:v1 && docker push ${proxy}/team/my-image:v1`,
    `  skopeo copy --dest-tls-verify=false docker-daemon:my-image:latest docker://${proxy}/team/my-image:v1`,
    `  docker pull ${agent}/team/my-image:v1`,
  ].join('\n');
}

function hostOf(program: PlannedProgram | undefined): string {
  return program === undefined ? '' : `localhost:${program.port}`;
}
