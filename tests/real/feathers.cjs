// A Feathers application that keeps three lists in memory: node feathers.cjs PORT
const { feathers } = require('@feathersjs/feathers')
const express = require('@feathersjs/express')
const { MemoryService } = require('@feathersjs/memory')

const app = express(feathers())
app.use(express.json({ limit: '1mb' }))

// PUT /LIST replaces all rows of a list.
app.put('/:list', async (request, response) => {
  const service = app.service(request.params.list)
  await service.remove(null)
  await service.create(request.body)
  response.json({})
})

app.configure(express.rest())
for (const list of ['numbers', 'texts', 'nocase']) {
  const paginate = { default: 10, max: 1000 }
  app.use(`/${list}`, new MemoryService({ multi: ['create', 'remove'], paginate }))
}

// A query string holds texts, and a text never equals, exceeds or precedes a number.
const numeric = ({ params: { query } }) => {
  for (const operator in query.id) query.id[operator] = Number(query.id[operator])
}
app.service('numbers').hooks({ before: { find: [numeric] } })
app.use(express.errorHandler({ logger: false }))

app.listen(Number(process.argv[2]), '127.0.0.1')
