/**
 * The arrows between the folders of src (docs/architecture.md): who may import whom.
 * A folder is entered through its index.ts; a program has two further entries, protocol.ts and client.ts.
 */
const folder = (name) => `^src/${name}/`;
const only = (name, from, allowed) => ({
  name,
  severity: 'error',
  from: { path: from },
  to: { path: '^src/', pathNot: [from, ...allowed].map((entry) => entry) },
});
const wire = '^src/(tracker|origin|build-index)/(protocol|client)\\.ts$';

module.exports = {
  forbidden: [
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'enter-through-index',
      comment: 'A folder is a component: others import its index.ts (a program also has protocol.ts and client.ts).',
      severity: 'error',
      from: { path: '^src/([^/]+)/' },
      to: {
        path: '^src/[^/]+/.+',
        pathNot: ['^src/$1/', '^src/[^/]+/index\\.ts$', '^src/driver/p2p/index\\.ts$', wire],
      },
    },
    only('core-needs-nothing', folder('core'), []),
    only('pathparser-needs-core', folder('pathparser'), [folder('core')]),
    only('retry-needs-core', folder('retry'), [folder('core')]),
    only('config-needs-core', folder('config'), [folder('core')]),
    only('metrics-needs-core', folder('metrics'), [folder('core')]),
    only('http-needs-plumbing', folder('http'), [
      folder('core'),
      folder('config'),
      folder('metrics'),
      folder('health'),
    ]),
    only('castore-needs-core', folder('castore'), [folder('core')]),
    only('swarm-needs-castore', folder('swarm'), [folder('core'), folder('castore'), folder('metrics')]),
    only('wire-files-need-http', wire, [folder('core'), folder('http'), folder('retry'), wire]),
    {
      name: 'driver-needs-core',
      severity: 'error',
      from: { path: '^src/driver/', pathNot: '^src/driver/p2p/' },
      to: { path: '^src/', pathNot: ['^src/driver/(?!p2p/)', folder('core')] },
    },
    only('p2p-driver', folder('driver/p2p'), [
      '^src/driver/index\\.ts$',
      folder('core'),
      folder('pathparser'),
      folder('castore'),
      folder('transfer'),
    ]),
    only('access-needs-registry', folder('access'), [folder('core'), '^src/registry/index\\.ts$']),
    only('registry-needs-driver', folder('registry'), [
      folder('core'),
      '^src/driver/index\\.ts$',
      folder('pathparser'),
    ]),
    only('gc-needs-driver', folder('gc'), [
      folder('core'),
      '^src/driver/index\\.ts$',
      folder('pathparser'),
      folder('metrics'),
    ]),
    only('notifications-need-events', folder('notifications'), [
      folder('core'),
      folder('config'),
      '^src/registry/index\\.ts$',
    ]),
    only('transfer-needs', folder('transfer'), [
      folder('core'),
      folder('castore'),
      folder('swarm'),
      folder('metrics'),
      wire,
    ]),
    {
      name: 'only-cli-composes-programs',
      comment: 'A program never imports another program past its protocol and client.',
      severity: 'error',
      from: {
        path: '^src/(tracker|origin|build-index|proxy|agent|registry|access|notifications|gc|transfer|swarm|castore|driver)/',
      },
      to: { path: '^src/cli/' },
    },
    { name: 'no-dev-in-src', severity: 'error', from: { path: '^src' }, to: { dependencyTypes: ['npm-dev'] } },
    { name: 'resolves', severity: 'error', from: {}, to: { couldNotResolve: true } },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'default', 'types'] },
  },
};
