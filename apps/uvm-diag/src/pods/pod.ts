/** A pod that this machine has, or had: what was found without asking its shim. */
export interface Pod {
  readonly namespace: string;
  /** Of its sandbox, and so of its shim. */
  readonly id: string;
  /** The executable's name; "" if nothing tells. */
  readonly shim: string;
  /** Undefined on Windows, where a pipe does not tell, and once the process has ended. */
  readonly pid: number | undefined;
  /** Whether its shim runs in another mount namespace, where its paths mean something else. */
  readonly isElsewhere: boolean;
  /** Where its shim serves; undefined once it does not. */
  readonly socket: string | undefined;
  readonly bundle: string | undefined;
  /** The file with its record. */
  readonly record: string | undefined;
  /** Ids of its containers as the bundles tell; a shim that answers knows better. */
  readonly members: readonly string[];
}

export function nameOf({ namespace, id }: Pick<Pod, "namespace" | "id">): string {
  return namespace === "" ? id : `${namespace}/${id}`;
}

/** A part of what is known of a pod; several make up a pod. */
export type Finding = Pick<Pod, "namespace" | "id"> & Partial<Omit<Pod, "namespace" | "id">>;

/** Makes pods of what was found in different places; what is found first counts. */
export function mergeFindings(findings: readonly Finding[]): readonly Pod[] {
  const pods = new Map<string, Pod>();
  for (const finding of findings) {
    const key = nameOf(finding);
    const known = pods.get(key);
    pods.set(key, {
      namespace: finding.namespace,
      id: finding.id,
      shim: known?.shim || (finding.shim ?? ""),
      pid: known?.pid ?? finding.pid,
      isElsewhere: (known?.isElsewhere || finding.isElsewhere) ?? false,
      socket: known?.socket ?? finding.socket,
      bundle: known?.bundle ?? finding.bundle,
      record: known?.record ?? finding.record,
      members: [...new Set([...(known?.members ?? []), ...(finding.members ?? [])])],
    });
  }
  return [...pods.values()].toSorted((one, other) => (nameOf(one) < nameOf(other) ? -1 : 1));
}
