// A json-server that keeps three lists in memory: node json_server.cjs PORT
const server = require('json-server')

const app = server.create()
const router = server.router({ numbers: [], texts: [], nocase: [] })
app.use(server.defaults({ logger: false }))

// PUT /LIST replaces all rows of a list.
app.put('/:list', server.bodyParser, (request, response) => {
  router.db.set(request.params.list, request.body).write()
  response.json({})
})
app.use(router)

app.listen(Number(process.argv[2]), '127.0.0.1')
