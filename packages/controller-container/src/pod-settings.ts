import { posix } from "node:path";
import { containerTypeKey, sandboxIdKey } from "./annotations.ts";
import type { PodSettings } from "./options.ts";
import type { ContainerSpecification } from "./specification.ts";

const resolvConf = "/etc/resolv.conf";

/**
 * A CRI pod has no container of its own from which others could take the pod's name and files: each is given them, and
 * is no member of such a container's sandbox in the guest's eyes.
 */
export function withPodSettings(
  specification: ContainerSpecification,
  pod: PodSettings | undefined,
): ContainerSpecification {
  if (pod === undefined) return specification;
  const { containerAnnotations, linux, mounts = [] } = specification;
  const { hostname = pod.hostname ?? "" } = specification;
  const { [containerTypeKey]: _type, [sandboxIdKey]: _id, ...crossing } = containerAnnotations.crossing;
  const hasOwn = mounts.some(({ destination }) => posix.normalize(destination) === resolvConf);
  return {
    ...specification,
    containerAnnotations: { ...containerAnnotations, crossing },
    ...(hostname === "" ? {} : { hostname }),
    linux: { ...linux, sysctl: { ...pod.sysctls, ...linux.sysctl } },
    mounts: [
      ...mounts,
      // What is written for all of the pod's containers is not one container's to change.
      ...(pod.resolvConfPath === undefined || hasOwn
        ? []
        : [{ destination: resolvConf, type: "bind", source: pod.resolvConfPath, options: ["rbind", "ro"] }]),
    ],
  };
}
