export { createInMemoryDriver, InMemoryParametersSchema } from './inmemory-driver.ts';
