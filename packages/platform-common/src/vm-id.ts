/** The compute system's id derives from the sandbox's, so that the cleanup after a crash can find it. */
export function vmIdOf({ namespace, id }: { readonly namespace: string; readonly id: string }): string {
  return `${namespace}-${id}@vm`;
}
