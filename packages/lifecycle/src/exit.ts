/** How a process, a container, a pod or a VM ended: the one type of it in all packages. */
export interface Exit {
  /** Of a process: 0 to 255, 128 + signal for a killed one, 255 for a lost one. Of a VM: 0 or an HRESULT. */
  readonly status: number;
  readonly exitedAt: Date;
}
