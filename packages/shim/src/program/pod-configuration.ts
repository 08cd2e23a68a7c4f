import { describeError, ShimError } from "../errors.ts";
import { runtime } from "../generated/messages.js";
import type { PodSettings } from "../platform.ts";

const { POD, NODE } = runtime.v1.NamespaceMode;

/** The parts of the CRI pod configuration that a shim uses. */
export interface PodConfiguration {
  readonly annotations: { readonly [key: string]: string };
  readonly pod: PodSettings;
}

/** resolv.conf takes three name servers, and pods have a few search domains and options. */
const mostWords = 64;

/**
 * The defaults of containerd's own sandboxer from version 2.0 on, whose configuration a shim cannot see: every user in a
 * pod may listen on low ports and send pings, which stay within the pod's own network.
 */
const networkDefaults = {
  "net.ipv4.ip_unprivileged_port_start": "0",
  "net.ipv4.ping_group_range": "0 2147483647",
} as const;

/** Throws InvalidArgument for what is not a PodSandboxConfig, and for what would corrupt the generated resolv.conf. */
export function readPodConfiguration(bytes: Uint8Array): PodConfiguration {
  let configuration: runtime.v1.PodSandboxConfig;
  try {
    configuration = runtime.v1.PodSandboxConfig.decode(bytes);
  } catch (error) {
    throw invalid(`options are not a PodSandboxConfig: ${describeError(error)}`, error);
  }
  const { annotations, dnsConfig } = configuration;
  const parent = configuration.linux?.cgroupParent ?? "";
  const resolvConf = dnsConfig === null ? "" : resolvConfOf(dnsConfig);
  return {
    annotations,
    pod: {
      ...(resolvConf === "" ? {} : { resolvConf }),
      ...(parent === "" ? {} : { controlGroupParent: parent }),
      specification: specificationOf(configuration),
    },
  };
}

/** The part of the pod's configuration that containerd would write into config.json of its sandbox container. */
function specificationOf({ hostname, linux }: runtime.v1.PodSandboxConfig): object {
  const context = linux?.securityContext ?? null;
  const { network = POD, pid = POD, ipc = POD, usernsOptions = null } = context?.namespaceOptions ?? {};
  const options = "linux.security_context.namespace_options";
  if (ipc === NODE) {
    const reason = "a VM cannot share memory with the node's kernel";
    throw invalid(`${options}.ipc is NODE, expected POD or CONTAINER: ${reason}`);
  }
  if (usernsOptions?.mode === POD) {
    const reason = "containers use the user namespace of their VM";
    throw invalid(`${options}.userns_options.mode is POD, expected NODE: ${reason}`);
  }
  const isOwn = {
    mount: true,
    network: network !== NODE,
    // A pod in the node's network uses the node's host name.
    uts: network !== NODE,
    ipc: true,
    pid: pid !== NODE,
  };
  const uid = context?.runAsUser?.value;
  const user = { uid, gid: context?.runAsGroup?.value ?? 0, additionalGids: context?.supplementalGroups ?? [] };
  return {
    ...(hostname === "" ? {} : { hostname }),
    ...(uid === undefined ? {} : { process: { user } }),
    linux: {
      ...(linux?.resources == null ? {} : { resources: resourcesOf(linux.resources) }),
      sysctl: { ...(isOwn.network ? networkDefaults : {}), ...linux?.sysctls },
      namespaces: Object.entries(isOwn).flatMap(([type, own]) => (own ? [{ type }] : [])),
    },
  };
}

/** The limits of the pod as a whole, which do not apply to the sandbox container. Zero means unset. */
function resourcesOf(resources: runtime.v1.LinuxContainerResources): object {
  const { memoryLimitInBytes: limit, cpuQuota: quota, cpuPeriod: period, cpuShares: shares } = resources;
  return { memory: { limit }, cpu: { quota, period, shares } };
}

function resolvConfOf({ servers, searches, options }: runtime.v1.DNSConfig): string {
  const searched = words("searches", searches);
  const resolved = words("options", options);
  return [
    ...(searched.length === 0 ? [] : [`search ${searched.join(" ")}\n`]),
    ...words("servers", servers).map((server) => `nameserver ${server}\n`),
    ...(resolved.length === 0 ? [] : [`options ${resolved.join(" ")}\n`]),
  ].join("");
}

function words(field: string, values: readonly string[]): readonly string[] {
  const bad = values.find((value) => !/^\S{1,255}$/.test(value));
  if (bad !== undefined)
    throw invalid(`dns_config.${field}: ${JSON.stringify(bad)} must be one word of up to 255 characters`);
  if (values.length > mostWords) {
    throw invalid(`dns_config.${field}: ${values.length} entries, expected at most ${mostWords}`);
  }
  return values;
}

function invalid(message: string, cause?: unknown): ShimError {
  return new ShimError("InvalidArgument", `create sandbox: ${message}`, { cause });
}
