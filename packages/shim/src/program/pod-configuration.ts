import { describeError, ShimError } from "../errors.ts";
import { runtime } from "../generated/messages.js";
import type { PodSettings } from "../platform.ts";

const { POD, NODE } = runtime.v1.NamespaceMode;

/** What a shim takes from the CRI pod configuration. */
export interface PodConfiguration {
  readonly annotations: { readonly [key: string]: string };
  readonly pod: PodSettings;
}

/** resolv.conf takes three name servers; a pod has a few searches and options. Far more than that is a mistake. */
const mostWords = 64;

/**
 * What containerd's own sandboxer sets from version 2.0 on, unless its configuration says otherwise, which nobody tells a
 * shim: every user of a pod may listen at low ports and send pings, as neither reaches beyond the pod's own network.
 */
const settingsOfNetwork = {
  "net.ipv4.ip_unprivileged_port_start": "0",
  "net.ipv4.ping_group_range": "0 2147483647",
} as const;

/** InvalidArgument for what is no PodSandboxConfig, and for what must not stand in a file that programs trust. */
export function readPodConfiguration(bytes: Uint8Array): PodConfiguration {
  let configuration: runtime.v1.PodSandboxConfig;
  try {
    configuration = runtime.v1.PodSandboxConfig.decode(bytes);
  } catch (error) {
    throw invalid(`options are no PodSandboxConfig: ${describeError(error)}`, error);
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

/** What containerd would write into config.json of the pod's sandbox container, as far as the caller decides it. */
function specificationOf({ hostname, linux }: runtime.v1.PodSandboxConfig): object {
  const context = linux?.securityContext ?? null;
  const { network = POD, pid = POD, ipc = POD, usernsOptions = null } = context?.namespaceOptions ?? {};
  const options = "linux.security_context.namespace_options";
  if (ipc === NODE) {
    const reason = "what the node's processes share is memory of its own kernel, which no VM reaches";
    throw invalid(`${options}.ipc is NODE, accepted are POD and CONTAINER: ${reason}`);
  }
  if (usernsOptions?.mode === POD) {
    const reason = "containers have the user namespace of their VM";
    throw invalid(`${options}.userns_options.mode is POD, accepted is NODE: ${reason}`);
  }
  const isOwn = {
    mount: true,
    network: network !== NODE,
    // The node's network has the node's name.
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
      sysctl: { ...(isOwn.network ? settingsOfNetwork : {}), ...linux?.sysctls },
      namespaces: Object.entries(isOwn).flatMap(([type, own]) => (own ? [{ type }] : [])),
    },
  };
}

/** What all of the pod's containers may take, which the sandbox container itself does not. Zero: nothing is said. */
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
  if (bad !== undefined) throw invalid(`dns_config.${field}: ${JSON.stringify(bad)} is no single word`);
  if (values.length > mostWords) {
    throw invalid(`dns_config.${field}: ${values.length} entries, at most ${mostWords} are accepted`);
  }
  return values;
}

function invalid(message: string, cause?: unknown): ShimError {
  return new ShimError("InvalidArgument", `create sandbox: ${message}`, { cause });
}
