import type { ContainerSpecification } from "./specification.ts";

/**
 * A container without a UTS namespace has the host's name, which programs expect to resolve in the host's network. The
 * guest would use its own name, so the container gets a UTS namespace with the host's name.
 */
export function withHostName(
  given: ContainerSpecification,
  hostName: string | undefined,
  warn: (sentence: string) => void,
): ContainerSpecification {
  const { namespaces } = given.linux;
  if (hostName === undefined || namespaces === undefined) return given;
  const has = (type: string): boolean => namespaces.some((namespace) => namespace.type === type);
  const { hostname = "", domainname: _, ...rest } = given;
  if (has("uts")) return hostname === "" && !has("network") ? { ...given, hostname: hostName } : given;
  if (hostname !== "" && hostname !== hostName) {
    warn(
      `hostname ${JSON.stringify(hostname)} has no effect: without a UTS namespace the container has the host's name`,
    );
  }
  return { ...rest, hostname: hostName, linux: { ...given.linux, namespaces: [...namespaces, { type: "uts" }] } };
}
