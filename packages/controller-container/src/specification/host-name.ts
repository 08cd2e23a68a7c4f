import type { ContainerSpecification } from "./specification.ts";

/**
 * A container that is not to have a name of its own has its host's, as the names of the host's network are those that its
 * files and programs go by. The guest would call it by its own: so it is given the host's.
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
    warn(`hostname ${JSON.stringify(hostname)} has no effect: without a namespace for it the name is the host's`);
  }
  return { ...rest, hostname: hostName, linux: { ...given.linux, namespaces: [...namespaces, { type: "uts" }] } };
}
