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

/** What guests take from the annotations of a pod's containers, and not from those of a container that is alone. */
const annotationsOfPods = [shmSizeKey, coreLimitKey];
const annotationsOfSandbox = [hostNetworkKey, skipNetworkKey];
/** Those that the container of a pod has from its sandbox. */
const joined: readonly unknown[] = ["network", "ipc", "uts"];

/**
 * What a container asks for that guests give to the workloads of a pod alone, and silently not to one that is alone;
 * undefined where there is no such thing, or where it says itself what it is in its pod. The specification is parsed
 * JSON, unchecked.
 */
export function needOfPod(
  specification: unknown,
  defaultAnnotations: { readonly [key: string]: string } = {},
): string | undefined {
  const { process, mounts, linux, windows, annotations: own } = fieldsOf(specification);
  const annotations = { ...defaultAnnotations, ...fieldsOf(own) };
  if (annotations[containerTypeKey] !== undefined) return undefined;
  const { [privilegedKey]: privileged = "false" } = annotations;
  // That it is not privileged holds for one that is alone too.
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

/** What the sandbox of a pod that is made for one container has from that container's specification. */
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

/** A rule for every device: what the guest makes of it comes with nodes for workloads alone. */
function isForAll(rule: unknown): boolean {
  const { allow, type = "a", major = -1, minor = -1 } = fieldsOf(rule);
  return allow === true && (type === "a" || type === "") && major === -1 && minor === -1;
}

function isOfGuest(mount: unknown): boolean {
  const { source, destination } = fieldsOf(mount);
  if (typeof destination === "string" && destination.startsWith(blockDevicePrefix)) return true;
  return typeof source === "string" && placesOfGuest.some((prefix) => source.startsWith(prefix));
}
