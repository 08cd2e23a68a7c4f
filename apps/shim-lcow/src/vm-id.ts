/** The compute system's id follows from the sandbox's, so that whoever cleans up after a crash can find it. */
export function vmIdOf({ namespace, id }: { readonly namespace: string; readonly id: string }): string {
  return `${namespace}-${id}@vm`;
}
