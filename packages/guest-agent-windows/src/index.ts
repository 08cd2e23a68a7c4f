export { WindowsContainer } from "./container/container.ts";
