import {
  containerTypeKey,
  coreLimitKey,
  falsehoods,
  hostNetworkKey,
  privilegedKey,
  shmSizeKey,
  skipNetworkKey,
} from "../plan/annotations.ts";
import { blockDevicePrefix } from "../plan/disk-mounts.ts";
import { placesOfGuest } from "../plan/mounts.ts";
import { fieldsOf, listOf } from "./fields.ts";

/** Annotations that guests support only for containers of a pod. */
const annotationsOfPods = [shmSizeKey, coreLimitKey];
const annotationsOfSandbox = [hostNetworkKey, skipNetworkKey];
/** Namespaces that a container of a pod gets from its sandbox. */
const joined: readonly unknown[] = ["network", "ipc", "uts"];

/**
 * The first setting of a container that guests support only for workloads of a pod, and silently ignore for a single
 * container; undefined without any, or if the container has a type annotation. The specification is parsed JSON,
 * unchecked.
 */
export function needOfPod(
  specification: unknown,
  defaultAnnotations: { readonly [key: string]: string } = {},
): string | undefined {
  const { process, mounts, linux, windows, annotations: own } = fieldsOf(specification);
  const annotations = { ...defaultAnnotations, ...fieldsOf(own) };
  if (annotations[containerTypeKey] !== undefined) return undefined;
  const { [privilegedKey]: privileged = "false" } = annotations;
  // "Not privileged" is supported for single containers too.
  if (!falsehoods.includes(privileged)) return `annotation ${privilegedKey}`;
  const annotation = annotationsOfPods.find((key) => annotations[key] !== undefined);
  if (annotation !== undefined) return `annotation ${annotation}`;
  const { username } = fieldsOf(fieldsOf(process).user);
  if (username !== undefined && username !== "") return "process.user.username";
  if (listOf(fieldsOf(windows).devices).length > 0) return "windows.devices";
  const { devices, resources } = fieldsOf(linux);
  if (listOf(devices).length > 0) return "linux.devices";
  if (listOf(fieldsOf(resources).devices).some(isForAll)) return "linux.resources.devices";
  const index = listOf(mounts).findIndex(isOfGuest);
  return index === -1 ? undefined : `mounts[${index}]`;
}

/** The parts of a single container's specification for the sandbox of a pod that is created for it. */
export function sandboxOfOne(specification: unknown): {
  readonly specification: object;
  readonly annotations: { readonly [key: string]: string };
} {
  const { hostname, domainname, linux, annotations } = fieldsOf(specification);
  const namespaces = listOf(fieldsOf(linux).namespaces).map((namespace) => fieldsOf(namespace).type);
  const given = Object.entries(fieldsOf(annotations)).filter(([key]) => annotationsOfSandbox.includes(key));
  return {
    specification: {
      hostname,
      domainname,
      linux: {
        namespaces: [...joined.filter((type) => namespaces.includes(type)), "pid"].map((type) => ({ type })),
      },
    },
    annotations: Object.fromEntries(given) as { readonly [key: string]: string },
  };
}

/** A rule for all devices: the guest creates the nodes only for workloads. */
function isForAll(rule: unknown): boolean {
  const { allow, type = "a", major = -1, minor = -1 } = fieldsOf(rule);
  return allow === true && (type === "a" || type === "") && major === -1 && minor === -1;
}

function isOfGuest(mount: unknown): boolean {
  const { source, destination } = fieldsOf(mount);
  if (typeof destination === "string" && destination.startsWith(blockDevicePrefix)) return true;
  return typeof source === "string" && placesOfGuest.some((prefix) => source.startsWith(prefix));
}
