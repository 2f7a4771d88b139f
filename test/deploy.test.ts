// The files in deploy/, as far as they can be checked without a cluster: what they say of each other, of the
// image and of the service has to be so.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { parse, parseAllDocuments } from 'yaml'
import { type Config, parseConfig } from '../src/config.ts'

const root = fileURLToPath(new URL('../', import.meta.url))
const read = (path: string) => readFileSync(join(root, path), 'utf8')

interface Kubernetes {
  readonly kind: string
  readonly data?: Readonly<Record<string, string>>
  readonly spec?: Workload
}

interface Workload {
  readonly replicas: number
  readonly selector: { readonly matchLabels: Readonly<Record<string, string>> }
  readonly template: {
    readonly metadata: { readonly labels: Readonly<Record<string, string>> }
    readonly spec: {
      readonly containers: readonly Container[]
      readonly volumes: readonly { readonly name: string }[]
      readonly securityContext: object
    }
  }
  readonly volumeClaimTemplates?: readonly { readonly metadata: { readonly name: string } }[]
}

interface Container {
  readonly env?: readonly { readonly name: string }[]
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[]
  readonly livenessProbe: { readonly httpGet: { readonly path: string } }
  readonly readinessProbe: { readonly httpGet: { readonly path: string } }
  readonly ports: readonly { readonly containerPort: number }[]
  readonly securityContext: object
}

/** As the service would take it, with its variables set. */
function accepted(text: string): Promise<Config> {
  const names = [...text.matchAll(/\$\{(\w+)\}/g)].map(([, name = '']) => name)
  return parseConfig({
    file: '/etc/fleetwarden/fleetwarden.yaml',
    text,
    env: Object.fromEntries(
      names.map((name) => [name, name.endsWith('URL') ? 'https://hooks.example.com/x' : 'x']),
    ),
    readFile: async () => 'postgres://keeper:hush@db.example.com/fleet',
    glob: async (pattern, folder) => [join(folder, pattern)],
  })
}

describe.each([
  ['single', 'StatefulSet', 1, 'sqlite'],
  ['replicas', 'Deployment', 3, 'postgres'],
])('deploy/kubernetes/%s.yaml', (name, kind, replicas, storage) => {
  const documents = parseAllDocuments(read(`deploy/kubernetes/${name}.yaml`))
  const objects = documents.map((document) => document.toJS() as Kubernetes)
  const workload = objects.find((object) => object.kind === kind)!.spec!
  const [container] = workload.template.spec.containers

  it('is YAML without a fault, with the parts that belong together', () => {
    expect(documents.flatMap(({ errors, warnings }) => [...errors, ...warnings])).toEqual([])
    expect(workload.replicas).toBe(replicas)
    expect(workload.template.metadata.labels).toMatchObject(workload.selector.matchLabels)
    const volumes = [
      ...workload.template.spec.volumes.map((volume) => volume.name),
      ...(workload.volumeClaimTemplates ?? []).map(({ metadata }) => metadata.name),
    ]
    for (const mount of container!.volumeMounts) expect(volumes).toContain(mount.name)
  })

  it('holds a configuration that the service takes, at the place where the image looks for it', async () => {
    const text = objects.find((object) => object.kind === 'ConfigMap')?.data?.['fleetwarden.yaml'] ?? ''
    const config = await accepted(text)
    expect(config.storage.kind).toBe(storage)
    expect(config.http).toMatchObject({ host: '0.0.0.0', port: container!.ports[0]!.containerPort })
    const dockerfile = read('Dockerfile')
    expect(dockerfile).toContain('"--config", "/etc/fleetwarden/fleetwarden.yaml"')
    expect(dockerfile).toContain('EXPOSE 9469')
    const places = container!.volumeMounts.map(({ mountPath }) => mountPath)
    expect(places).toEqual(expect.arrayContaining(['/etc/fleetwarden/fleetwarden.yaml', '/data', '/tmp']))
  })

  it('asks for what the service answers, and gives it no more rights than it needs', () => {
    expect(container!.livenessProbe.httpGet.path).toBe('/-/healthy')
    expect(container!.readinessProbe.httpGet.path).toBe('/-/ready')
    expect(container!.securityContext).toMatchObject({
      readOnlyRootFilesystem: true,
      allowPrivilegeEscalation: false,
      capabilities: { drop: ['ALL'] },
    })
    // USER of the image.
    expect(read('Dockerfile')).toContain('USER 1000:1000')
    expect(workload.template.spec.securityContext).toMatchObject({ runAsNonRoot: true, runAsUser: 1000 })
  })
})

it('deploy/compose.yaml runs three replicas that wait for their database, with secrets that exist', () => {
  const { services, secrets } = parse(read('deploy/compose.yaml'))
  expect(services.fleetwarden).toMatchObject({
    deploy: { replicas: 3 },
    depends_on: { database: { condition: 'service_healthy' } },
    read_only: true,
  })
  const named = [...services.fleetwarden.secrets, ...services.database.secrets]
  expect(Object.keys(secrets).toSorted()).toEqual(named.toSorted())
})
