// A typedoc plugin: an entry point is called as it is imported, 'walwatch/nats' instead of 'nats'.
import { Converter } from 'typedoc';

/** @param {import('typedoc').Application} app */
export function load(app) {
  app.converter.on(Converter.EVENT_RESOLVE_BEGIN, ({ project }) => {
    for (const module of project.children ?? [])
      module.name = module.name === 'index' ? 'walwatch' : `walwatch/${module.name}`;
  });
}
